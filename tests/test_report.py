"""The report of a run: what it says, that it asks nothing of a network, and that it works in a browser."""

import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from action_indrnn import api, report, report_accuracy, run_record
from action_indrnn.checkpoint import load_model, save_model
from action_indrnn.data_prep.archive import PreparedSet

from .test_cli import call

SMALL = ["model.units=8", "model.blocks=1", "train.max_epochs=2"]
NASTY = "</script><script>document.title='taken over'</script>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def prepared(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made set, a class of which has a name that no page may take for a tag."""
    folder = tmp_path_factory.mktemp("report") / "set"
    shutil.copytree(made_set.path, folder)
    meta = folder / "meta.toml"
    meta.write_text(meta.read_text().replace('"raise an arm"', f'"{NASTY}"'))
    return folder


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    api.train("demo", prepared, "xsub", out, overrides=SMALL, seeds=2)
    return out


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return report.build(run / "seed-0")


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, key: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == key]


def test_the_page_says_everything(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    names = ["accuracy", "training", "confusion", "classes", "pairs", "time", "memory", "units", "settings"]
    sections = [value for tag, key, value in reader.attributes if tag == "section" and key == "id"]
    assert sections == names
    assert [value for tag, key, value in reader.attributes if tag == "a" and key == "href"][1:] == [
        f"#{name}" for name in names
    ]
    for words in (
        "they compare with no published accuracy",
        "Loss over the epochs",
        "Filmstrip: ",
        "Accuracy against the observed share of a clip",
        "False alarms a minute",
        "Memory lengths of layer 3",
        "At the bound",
        "Mean recall ",
        "counts most at frame ",
        "compiled CPU kernel",
        "max_epochs = 2",
        "mind the data set",
    ):
        assert words in page


def test_it_asks_nothing_of_a_network(page: str) -> None:
    reader = Reader(page)
    assert not {"link", "img", "iframe", "object", "base", "use", "image"} & set(reader.tags)
    assert not reader.values("src")
    assert all(value.startswith("#") for value in reader.values("href"))
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttp", page)


def test_it_can_be_read_without_seeing_it(page: str) -> None:
    reader = Reader(page)
    assert reader.tags.count("svg") == reader.values("role").count("img")
    assert reader.tags.count("table") == reader.tags.count("caption")
    assert reader.tags.count("h1") == 1
    ids = reader.values("id")
    assert len(ids) == len(set(ids))


def test_names_are_no_tags(page: str) -> None:
    assert NASTY not in page
    assert "&lt;/script&gt;&lt;script&gt;document.title" in page
    data = re.search(r'id="confusion-data">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["classes"][0] == NASTY


def test_the_same_run_gives_the_same_page(run: Path, page: str) -> None:
    assert report.build(run / "seed-0") == page


def test_without_the_set_it_says_so(run: Path, prepared: Path, tmp_path: Path, page: str) -> None:
    shutil.copytree(run / "seed-0", tmp_path / "run")
    facts = tmp_path / "run/run.toml"
    facts.write_text(facts.read_text().replace(str(prepared), "/nowhere"))
    found = report.build(tmp_path / "run")
    assert found.count("was not found") == 3  # no filmstrips, nothing over time, no units
    assert "Filmstrip" not in found
    assert "Memory lengths of layer 3" in found
    assert report.build(tmp_path / "run", prepared) == page


def test_another_set_is_refused(run: Path, made_set: PreparedSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the model's 14 classes"):
        report.build(run / "seed-0", made_set.path)
    with pytest.raises(ValueError, match="expected a prepared set"):
        report.build(run / "seed-0", tmp_path)


def test_several_runs_have_a_summary_and_each(run: Path) -> None:
    found = report.build(run)
    reader = Reader(found)
    assert reader.open == []
    assert "(mean and standard deviation of 2 seeds)" in found
    assert reader.tags.count("details") == 2
    assert "Of the run seed-0" in found
    assert "30 test clips" in found
    assert {"#run-seed-0", "#run-seed-1"} <= set(reader.values("href"))
    assert {"run-seed-0", "run-seed-1"} <= set(reader.values("id"))


def test_a_detecting_network_s_units_are_read_as_it_is_judged(made_set: PreparedSet, tmp_path: Path) -> None:
    small = ["model.units=16", "data.frames=32", "train.max_epochs=2", "train.min_steps=60"]
    api.train("detect", made_set, "xsub", tmp_path / "run", overrides=small)
    found = report.build(tmp_path / "run")
    [record] = run_record.find(tmp_path / "run")[0]
    recall = report_accuracy.percent(record.report["mean_class"])
    assert record.report["mean_class"] > 0
    for words in (
        f"Mean recall {recall};",
        f"Recall, every frame of {record.report['clips']} test clips",
        "its state in the mean over a clip",
        "every frame of each clip, running statistics",
        "percent of the clip seen",
    ):
        assert words in found


def test_clips_of_folds_are_counted_together(run: Path) -> None:
    record = run_record.find(run)[0][0]
    folds = [
        dataclasses.replace(
            record,
            name=f"fold={fold}/seed-{seed}",
            card=record.card.model_copy(update={"protocol": f"fold={fold}"}),
            report=record.report | {"clips": 10 * fold},
        )
        for fold in (1, 2, 3)
        for seed in (0, 1)
    ]
    found = str(report_accuracy.accuracy(folds))
    assert re.search(r">6</td><td[^>]*>60 in 3 folds</td>", found), found
    assert re.search(r">2</td><td[^>]*>20</td>", str(report_accuracy.accuracy(folds[2:4]))), found


def test_a_whole_set_stands_beside_published_accuracies(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "seed-0", tmp_path / "run")
    path = tmp_path / "run/model.safetensors"
    model, card = load_model(path)
    for whole in (True, False):
        save_model(path, model, card.model_copy(update={"dataset": "ntu60", "whole": whole}))
        (tmp_path / "run/run.toml").unlink(missing_ok=True)
        found = report.build(tmp_path / "run")
        assert "86.70%" in found
        assert "arXiv 1910.06251" in found
        assert "ST-GCN++, joints (graph)" in found
        assert ("these figures do not compare" in found) != whole


def test_wilson_s_interval() -> None:
    low, high = report_accuracy.interval(0.81, 336)
    assert (round(low, 3), round(high, 3)) == (0.765, 0.848)
    assert report_accuracy.interval(1.0, 10)[1] == pytest.approx(1)


STEPS = """
<script>
addEventListener("load", () => {
  const said = [];
  const cell = () => document.getElementById("cell").textContent;
  const matrix = document.getElementById("matrix");
  matrix.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  said.push(cell());
  document.getElementById("by-number").click();
  matrix.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  said.push(cell());
  document.getElementById("only-errors").click();
  said.push(getComputedStyle(document.querySelector("path.right")).display);
  const table = document.querySelector("table.classes");
  const clips = () => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent).join(" ");
  table.tHead.rows[0].cells[1].firstChild.click();
  said.push(clips());
  said.push(document.title, performance.getEntriesByType("resource").length);
  document.body.dataset.said = JSON.stringify(said);
});
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_it_works_in_a_browser_without_a_network(page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", STEPS))
    command = [
        str(CHROMIUM),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        "--dump-dom",
        file.as_uri(),
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in found.stderr
    dom = re.search(r'data-said="([^"]*)"', found.stdout)
    assert dom is not None, found.stdout[:2000]
    right, first, errors, sorted_, title, requests = json.loads(dom[1].replace("&quot;", '"'))
    assert re.fullmatch(r"“.*” (recognised|taken for “.*”): \d+ of \d+ clips \([\d.]+ %\)", right)
    assert first.replace("&lt;", "<").replace("&gt;", ">").startswith(f"“{NASTY}” recognised: ")
    assert errors == "none"
    assert sorted_ == " ".join(map(str, range(14, 0, -1)))
    assert re.fullmatch("Residual network, [0-9,]+ parameters, on made data: report", title)
    assert requests == 0


def test_no_folder_and_a_file_are_no_run(tmp_path: Path, monkeypatch, capsys) -> None:
    assert call(monkeypatch, "report", tmp_path / "nothere") == 1
    assert f"{tmp_path}/nothere: expected the folder of a run, found none" in capsys.readouterr().err
    (tmp_path / "a").touch()
    assert call(monkeypatch, "report", tmp_path / "a", "--out", tmp_path / "page.html") == 1
    assert f"{tmp_path}/a: expected the folder of a run, found a file" in capsys.readouterr().err
