"""The report of a run, or of several, as one HTML file that asks nothing of any network.

Everything on the page follows from the run folder and the prepared set, byte for byte.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from action_indrnn import report_accuracy, report_classes, report_memory, run_record
from action_indrnn.data_prep import archive
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.exam import Exam
from action_indrnn.markup import Markup, element, join, table
from action_indrnn.run_record import Record


def build(run: Path, prepared_set: Path | None = None) -> str:
    """The page of a run's folder, or of one that holds runs of the same classes.

    Args:
        run: the folder.
        prepared_set: what the runs were trained on; if not given, where they say it was.

    Raises:
        ValueError: no finished run there, or a set that is not theirs.
    """
    records, unfinished = run_record.find(run)
    first = records[0]
    prepared = _set(records, prepared_set)
    exam = (
        None
        if prepared is None
        else Exam.of(first.folder / "model.safetensors", prepared, first.card.protocol)
    )
    classes = first.card.classes
    confusion = sum((record.confusion for record in records), np.zeros_like(first.confusion))
    several = len(records) > 1
    of_first = first.name if several else ""
    pooled = f"All {len(records)} runs together, " if several else ""
    sections = [
        ("accuracy", "Accuracy", report_accuracy.accuracy(records)),
        ("training", "Training", report_accuracy.curves(records)),
        ("confusion", "Confusion matrix", report_classes.matrix(confusion, classes)),
        (
            "classes",
            "Classes",
            report_classes.class_table(f"{pooled}{int(confusion.sum()):,} test clips", confusion, classes),
        ),
        ("pairs", "Most confused", report_classes.pairs(confusion, classes, records, prepared)),
        ("time", "Accuracy over time", report_accuracy.over_time(exam, of_first)),
        ("memory", "Memory", join(_of(of_first), report_memory.layers(first))),
        ("units", "Units that decide", join(_of(of_first), report_memory.deciding(first, exam))),
    ]
    if several:
        sections.insert(1, ("runs", "Runs", report_accuracy.every_run(records, unfinished)))
        sections.append(("each", "Each run", join(*map(_run, records))))
    sections.append(("settings", "Settings", _settings(records)))
    return _page(first, headline=report_accuracy.headline(records), sections=sections)


def _set(records: Sequence[Record], given: Path | None) -> PreparedSet | None:
    """The prepared set, if it is there, with every clip that the reports speak of.

    Raises:
        ValueError: the given one is not there, or one was found but is not that of the runs.
    """
    path = given or Path(records[0].facts.get("prepared_set", ""))
    if given is None and not (path / "meta.toml").is_file():
        return None
    prepared = archive.read(path)
    records[0].card.check_fit(prepared)
    names = set(prepared.index["name"])
    for record in records:
        for clip in record.report["per_clip"]:
            if clip["name"] not in names:
                raise ValueError(
                    f"{path}: expected the set of {record.folder}, found no clip {clip['name']} in it; "
                    "--set names another"
                )
    return prepared


def _of(name: str) -> Markup:
    """Says which of several runs a section is of."""
    if not name:
        return Markup()
    return element(
        "p", f"Of the run {name}; a report of another's own folder shows that one's.", class_="note"
    )


def _run(record: Record) -> Markup:
    """One of several runs, folded up."""
    numbers = f"{record.name}: top-1 {report_accuracy.percent(record.top1)}"
    return element(
        "details",
        element("summary", numbers),
        report_accuracy.curves([record]),
        report_classes.class_table(
            f"{record.name}, {record.report['clips']:,} test clips", record.confusion, record.card.classes
        ),
        report_memory.layers(record),
        id=report_accuracy.anchor(record),
    )


def _settings(records: Sequence[Record]) -> Markup:
    """Settings, seeds, environment and dates."""
    first, card = records[0], records[0].card
    train, validation, test = card.clips
    facts = first.facts.get("environment", {})
    shown = "every frame" if card.config.detects else f"{first.report['passes']} samplings"
    rows: list[list[str | float]] = [
        ["data set", card.dataset + ("" if card.whole else ", a part or made")],
        ["protocol", ", ".join(dict.fromkeys(record.card.protocol for record in records))],
        ["seeds", ", ".join(dict.fromkeys(str(record.card.seed) for record in records))],
        ["clips", f"{train:,} training, {validation:,} validation ({card.held_out}), {test:,} test"],
        ["view, recipe", f"{card.view}, {card.recipe}"],
        ["joints", f"{len(card.layout().joints)}, {card.layout().name}"],
        ["begun with", f"{card.config.title or 'settings without a title'}; as changed below"],
        ["test", f"{shown} of each clip, running statistics"],
        ["started", _date(first, "started")],
        ["finished", _date(records[-1], "finished")],
        *([key, str(value)] for key, value in facts.items()),
    ]
    if not facts:
        rows.append(["environment", f"not recorded; written by {card.program}"])
    return join(
        table("What was trained, where and when", ["What", "Value"], rows, numbers=False),
        element("h3", "config.toml"),
        element("pre", first.settings, tabindex="0"),
    )


def _date(record: Record, key: str) -> str:
    when = record.facts.get(key)
    return "not recorded" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _page(first: Record, *, headline: Markup, sections: Sequence[tuple[str, str, Markup]]) -> str:
    card = first.card
    parameters = sum(parameter.numel() for parameter in first.model.parameters())
    data = "made data" if card.dataset == "made" else card.dataset
    word = "network" if card.config.beside is None else "networks"
    title = f"{card.config.kind.capitalize()} {word}, {parameters:,} parameters, on {data}"
    here = Path(__file__)
    style, script = (
        here.with_name(f"report.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js")
    )
    links = [element("a", words, href=f"#{name}") for name, words, _ in sections]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Even a mistake on this page could ask for nothing.
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
        ),
        element("title", f"{title}: report"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("a", "to the content", href="#content", class_="skip"),
        element(
            "header",
            element("p", f"{card.program}, report of a run", class_="soft"),
            element("h1", title),
            headline,
            element("nav", *links, aria_label="Sections"),
        ),
        element(
            "main",
            *(element("section", element("h2", words), part, id=name) for name, words, part in sections),
            id="content",
        ),
        element("script", Markup(script)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
