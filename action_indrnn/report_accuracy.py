"""The report's sections on what was reached: accuracy beside published ones, runs, training, over time."""

import math
from collections.abc import Sequence

import numpy as np

from action_indrnn import folds, published
from action_indrnn.charts import figure, lines
from action_indrnn.detection import Detection
from action_indrnn.exam import Exam
from action_indrnn.markup import Markup, element, join, table
from action_indrnn.over_time import Early
from action_indrnn.run_record import Record
from action_indrnn.scene import RATE

MOST_CLIPS = 3000  # that answers over time, and units, are judged by
_NORMAL = 1.96  # standard deviations of a 95% interval


def percent(share: float | None, places: int = 1) -> str:
    """Returns a share in percent, a dash where there is none."""
    return "–" if share is None or math.isnan(share) else f"{share:.{places}%}"


def interval(share: float, count: int) -> tuple[float, float]:
    """Returns Wilson's 95% interval of a share found on `count` clips."""
    square = _NORMAL**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _NORMAL / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return middle - half, middle + half


def by_protocol(records: Sequence[Record]) -> dict[str, dict[str, list[Record]]]:
    """Returns the runs by family of protocols, and in it by protocol."""
    found: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        found.setdefault(record.fold, {}).setdefault(record.card.protocol, []).append(record)
    return found


def mean_and_spread(runs: dict[str, list[Record]]) -> str:
    """Returns the mean accuracy of a family's runs in words, with its deviations."""
    every = [[record.top1 for record in fold] for fold in runs.values()]
    return percent(every[0][0]) if sum(map(len, every)) == 1 else folds.summary(every)


def headline(records: Sequence[Record]) -> Markup:
    """The large numbers."""
    numbers = []
    for protocol, runs in by_protocol(records).items():
        every = [record for fold in runs.values() for record in fold]
        for key, words in (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean of classes")):
            mean = float(np.mean([record.report[key] for record in every]))
            numbers.append(
                element(
                    "div",
                    element("b", percent(mean)),
                    element("span", f"{words}, {protocol}"),
                    class_="number",
                )
            )
    return element("div", *numbers, class_="numbers")


def accuracy(records: Sequence[Record]) -> Markup:
    """Accuracy by protocol beside published ones; says where they do not compare."""
    card = records[0].card
    groups = by_protocol(records)
    rows: list[list[str | float]] = []
    for protocol, runs in groups.items():
        every = [record for fold in runs.values() for record in fold]
        clips = sum(fold[0].report["clips"] for fold in runs.values())  # seeds are tested on the same ones
        of = f" in {len(runs)} folds" if len(runs) > 1 else ""
        row: list[str | float] = [protocol, mean_and_spread(runs), f"{len(every)}", f"{clips:,}{of}"]
        if len(records) == 1:
            row.append(" to ".join(map(percent, interval(every[0].top1, clips))))
        rows.append(row)
    ours = table(
        "This run" if len(records) == 1 else "These runs",
        ["Protocol", "Top-1", "Runs", "Test clips", "95% interval"][: len(rows[0])],
        rows,
        numbers=False,
    )
    theirs = [peer for peer in published.peers(card.dataset) if peer.protocol in groups]
    figures = [
        (name, row)
        for name, row in published.rows()
        if row.dataset == card.dataset and row.protocol in groups
    ]
    if not theirs and not figures:
        made = card.dataset == "made"
        words = (
            "Made data: procedurally animated people. These figures show that the program works; they "
            "compare with no published accuracy and say nothing about real people."
            if made
            else f"No published accuracies are listed for {card.dataset} under {', '.join(groups)}."
        )
        return join(element("p", words, class_="note"), ours)
    note = (
        ""
        if card.whole
        else element(
            "p",
            "A part of the data set: these figures do not compare with published ones.",
            class_="note",
        )
    )
    protocols = list(groups)
    methods: dict[str, dict[str, str]] = {}
    sources: dict[str, str] = {}
    for protocol, runs in groups.items():
        mean = float(np.mean([record.top1 for fold in runs.values() for record in fold]))
        methods.setdefault("this run" if len(records) == 1 else "these runs", {})[protocol] = percent(mean)
    for name, published_row in figures:
        for words, value in (
            (f"{name} (IndRNN paper)", published_row.paper),
            (f"{name} (authors' log, running statistics)", published_row.log),
        ):
            if value is not None:
                methods.setdefault(words, {})[published_row.protocol] = f"{value:.2f}%"
                sources[words] = published_row.source
    for peer in theirs:
        words = f"{peer.method} ({peer.kind})" if peer.kind != "IndRNN" else peer.method
        methods.setdefault(words, {})[peer.protocol] = f"{peer.top1:.1f}%"
        sources[words] = peer.source
    beside = table(
        "Top-1 beside published accuracies",
        ["Method", *protocols, "Source"],
        [
            [
                words,
                *(cells.get(protocol, "–") for protocol in protocols),
                sources.get(words, "measured here"),
            ]
            for words, cells in methods.items()
        ],
        numbers=False,
        class_="beside",
    )
    told = []
    if figures:
        told.append(
            "The paper takes batch normalisation's statistics from the test batch, log and we running ones."
        )
    if "secondary" in sources.values():
        told.append("A source “secondary” was found in other papers' tables.")
    return join(note, ours, beside, element("p", " ".join(told), class_="soft"))


def every_run(records: Sequence[Record], unfinished: Sequence[str]) -> Markup:
    """A row for each run."""
    rows: list[list[str | float]] = [
        [
            element("a", record.name, href=f"#{anchor(record)}"),
            record.card.protocol,
            str(record.card.seed),
            percent(record.top1),
            percent(record.report["top5"]),
            percent(record.report["mean_class"]),
            f"{len(record.metrics.get('epoch', ()))}",
            str(record.card.epochs),
        ]
        for record in records
    ]
    head = ["Run", "Protocol", "Seed", "Top-1", "Top-5", "Mean of classes", "Epochs", "Weights of"]
    note = (
        element("p", f"Not finished, left out: {', '.join(unfinished)}.", class_="note") if unfinished else ""
    )
    return join(note, table("Every run", head, rows, class_="sortable"))


def anchor(record: Record) -> str:
    """The name of a run's place on the page."""
    return "run-" + "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in record.name
    )


def curves(records: Sequence[Record]) -> Markup:
    """Loss, accuracy and learning rate over the epochs."""
    metrics = [record.metrics for record in records]
    if not any(metrics):
        return element("p", "No epoch was trained.")
    mark = float(records[0].card.epochs) if len(records) == 1 else None
    best = f"; the vertical line is epoch {mark:g}, whose weights were kept" if mark else ""

    def both(what: str) -> dict[str, list[tuple[list[float], list[float]]]]:
        return {
            words: [(run["epoch"], run[f"{key}_{what}"]) for run in metrics if run]
            for key, words in (("train", "training"), ("validation", "validation"))
        }

    loss = lines("Loss over the epochs", both("loss"), x_label="epoch", y_label="Loss", low=0, mark=mark)
    right = lines(
        "Accuracy over the epochs",
        both("accuracy"),
        x_label="epoch",
        y_label="Accuracy",
        percent=True,
        low=0,
        mark=mark,
    )
    rate = lines(
        "Learning rate over the epochs",
        {"learning rate": [(run["epoch"], run["learning_rate"]) for run in metrics if run]},
        x_label="epoch",
        y_label="Learning rate",
        log=True,
        mark=mark,
    )
    return element(
        "div",
        figure(loss, f"Cross-entropy; training with dropout{best}."),
        figure(right, f"Validation: {records[0].card.held_out}."),
        figure(rate, "At each epoch's end."),
        class_="charts",
    )


def over_time(exam: Exam | None, name: str) -> Markup:
    """Accuracy against the observed share of a clip, and decisions on unsegmented streams."""
    if exam is None:
        words = "Measured on clips of the prepared set, which was not found; --set names it."
        return element("p", words, class_="note")
    if not exam.recognizer.model.causal:
        return element("p", "A network that walks back from the end sees whole clips only.", class_="note")
    every = exam.recognizer.card.config.detects
    early, streams = exam.over_time(MOST_CLIPS)
    of = f" of {name}" if name else ""
    chart = lines(
        "Accuracy against the observed share of a clip",
        {"top-1": [(list(early.accuracy), list(early.accuracy.values()))]},
        x_label=f"percent of the {'clip' if every else 'sampled frames'} seen",
        y_label="Top-1",
        percent=True,
        low=0,
    )
    return element(
        "div",
        figure(
            chart,
            f"{len(exam.some(MOST_CLIPS)):,} test clips{of}; an answer costs one step.",
        ),
        *_told(early, streams),
        class_="charts",
    )


def _told(early: Early, streams: Sequence[Detection]) -> tuple[Markup, Markup]:
    """Two tables."""

    def or_dash(value: float, words: str) -> str:
        return "–" if math.isnan(value) else words

    return table(
        "Decisions",
        ["Measure", "Value"],
        [
            ["clips whose answer is right at the end", percent(early.decided)],
            [
                "of those: right, and staying so, after",
                or_dash(
                    early.decision_frames,
                    f"{early.decision_frames:.0f} frames ({early.decision_frames / RATE:.1f} s), "
                    f"{percent(early.decision_share, 0)} of the clip",
                ),
            ],
        ],
        numbers=False,
    ), table(
        "Untrimmed streams",
        [
            "Streams",
            "Minutes",
            "Actions",
            "Found",
            "False alarms a minute",
            "Said after",
            "F1",
            "Frames right",
        ],
        [
            [
                one.streams,
                f"{one.minutes:.1f}",
                str(one.actions),
                percent(one.found),
                f"{one.false_alarms:.1f}",
                or_dash(one.delay, f"{one.delay:.2f} s"),
                f"{one.f1:.3f}",
                percent(one.frames),
            ]
            for one in streams
        ],
    )
