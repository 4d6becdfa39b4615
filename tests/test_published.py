import re

from action_indrnn import config, published
from action_indrnn.data_prep import catalogue


def test_every_published_network_and_protocol_has_its_row() -> None:
    found = {(name, figure.dataset, figure.protocol) for name, figure in published.rows()}
    networks = ("plain", "residual", "dense", "dense_fa_geo")
    expected = {(name, "ntu60", protocol) for name in networks for protocol in ("xsub", "xview")}
    assert found == expected | {("dense_fa_geo", "ntu120", protocol) for protocol in ("xsub", "xset")}


def test_every_row_can_be_trained() -> None:
    for _, figure in published.rows():
        assert figure.protocol in catalogue.find(figure.dataset).protocols


def test_rows_have_a_figure_and_a_source() -> None:
    for _, figure in published.rows():
        assert figure.paper or figure.log
        assert figure.source
        if figure.paper and figure.log:  # the statistics of the test batch or running ones: near each other
            assert abs(figure.paper - figure.log) < 1


def test_the_figures_of_the_benchmark_record_stand() -> None:
    best = {
        (figure.dataset, figure.protocol): figure.paper
        for name, figure in published.rows()
        if name == "dense_fa_geo"
    }
    assert best == {
        ("ntu60", "xsub"): 86.70,
        ("ntu60", "xview"): 93.97,
        ("ntu120", "xsub"): 76.55,
        ("ntu120", "xset"): 79.18,
    }


def test_the_listing_has_a_line_a_row() -> None:
    text = published.as_text()
    lines = text.splitlines()
    assert re.fullmatch(r"dense +ntu60 +xsub +84\.88 +84\.70 +not run", lines[1])
    assert re.fullmatch(r"residual +ntu60 +xview +- +89\.71 +not run", lines[10])
    assert "demo" in text
    assert all(name in text for name in config.names())
    more = published.as_text(notes=True)
    assert "log 8488" in more
    assert "With statistics of the test batch the log prints 84.89." in more
