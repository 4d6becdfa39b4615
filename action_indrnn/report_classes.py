"""The report's sections on classes: the confusion matrix, a row a class, the pairs most confused in pictures.

Shapes: K classes.
"""

import json
import math
from collections.abc import Sequence

import numpy as np

from action_indrnn import confusion as matrices
from action_indrnn import film_chart, matrix_chart
from action_indrnn.confusion import Counts
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.markup import Markup, element, join, table
from action_indrnn.report_accuracy import percent
from action_indrnn.run_record import Record

PAIRS = 6


def matrix(confusion: Counts, classes: Sequence[str]) -> Markup:
    """The confusion matrix in two orders, with the counts for the page's script."""
    clustered, plain = matrices.order(confusion), list(range(len(classes)))
    sparse = [[[column, int(row[column])] for column in np.flatnonzero(row).tolist()] for row in confusion]
    data = json.dumps({"classes": list(classes), "rows": sparse}, ensure_ascii=False, separators=(",", ":"))
    boxes = [
        matrix_chart.matrix(
            f"Confusion matrix of {len(classes)} classes, {words}: rows are true classes, columns "
            "predicted ones. The table of classes says the same in numbers.",
            confusion,
            classes,
            order,
            name,
        )
        for name, words, order in (
            ("alike", "similar classes side by side", clustered),
            ("number", "in the data set's order", plain),
        )
    ]
    controls = element(
        "p",
        element("label", element("input", type="checkbox", id="only-errors"), " only errors"),
        element("label", element("input", type="checkbox", id="by-number"), " classes by number"),
        element(
            "label", "zoom ", element("input", type="range", id="zoom", min=0.5, max=4, step=0.25, value=1)
        ),
        class_="controls scripted",
    )
    hint = "Point at a cell, or give the matrix the focus and use the arrow keys."
    # A closing tag within the data would end the script early.
    return join(
        controls,
        element("output", hint, id="cell", class_="scripted"),
        element("div", *boxes, id="matrix", tabindex="0", class_="scroll"),
        matrix_chart.legend(),
        element("script", Markup(data.replace("<", "\\u003c")), type="application/json", id="confusion-data"),
    )


def class_table(caption: str, confusion: Counts, classes: Sequence[str]) -> Markup:
    """A sortable row for each class."""
    rows: list[list[str | float]] = []
    for row in matrices.class_rows(confusion):
        other = "" if row.taken_for is None else f"{classes[row.taken_for]} ({row.taken})"
        rows.append(
            [
                classes[row.label],
                str(row.label + 1),
                str(row.clips),
                _bar(row.recall),
                percent(row.precision),
                percent(row.f1),
                other,
            ]
        )
    head = ["Class", "Number", "Clips", "Recall", "Precision", "F1", "Most often taken for (clips)"]
    return table(caption, head, rows, class_="sortable classes")


def _bar(share: float) -> Markup:
    width = 0 if math.isnan(share) else share * 100
    return element("span", percent(share), class_="bar", style=f"--share:{width:.1f}%")


def pairs(
    confusion: Counts, classes: Sequence[str], records: Sequence[Record], prepared: PreparedSet | None
) -> Markup:
    """The most confused pairs; with the set at hand each with a filmstrip of a clip of either class."""
    found = matrices.pairs(confusion, PAIRS)
    if not found:
        return element("p", "Every test clip is recognised.")
    if prepared is None:
        rows: list[list[str | float]] = [
            [classes[true], classes[taken], f"{count} of {confusion[true].sum()}"]
            for true, taken, count in found
        ]
        note = "No filmstrips: the prepared set was not found; --set names it."
        head = ["True class", "Taken for", "Clips"]
        return join(element("p", note, class_="note"), table("Most confused", head, rows))
    joints = layout.from_table(prepared.meta["layout"], str(prepared.path))
    place = {name: number for number, name in enumerate(prepared.index["name"])}
    parts = []
    for true, taken, count in found:
        wrong = _clearest(records, true, taken)
        right = _clearest(records, taken, taken)
        strips = [_strip(prepared, joints, place, wrong, f"{classes[true]}, taken for {classes[taken]}")]
        if right is not None:
            strips.append(_strip(prepared, joints, place, right, f"{classes[taken]}, recognised"))
        heading = join(element("b", classes[true]), " taken for ", element("b", classes[taken]))
        told = f"{count} of {confusion[true].sum()} clips ({percent(count / confusion[true].sum())})"
        parts.append(element("article", element("h3", heading), element("p", told), *strips, class_="pair"))
    note = (
        "The clips that the network was surest of, at evenly spread frames. These are drawings of "
        "recordings: mind the data set's terms before you pass this page on."
    )
    return join(element("p", note, class_="soft"), element("div", *parts, class_="pairs"))


def _clearest(records: Sequence[Record], true: int, taken: int) -> tuple[str, float] | None:
    """The clip of one class that was surest taken for another: its name and that probability."""
    clips = [
        (clip["probabilities"][taken], clip["name"])
        for record in records
        for clip in record.report["per_clip"]
        if clip["label"] == true and clip["predicted"] == taken
    ]
    if not clips:
        return None
    probability, name = max(clips)
    return name, probability


def _strip(
    prepared: PreparedSet,
    joints: layout.Layout,
    place: dict[str, int],
    clip: tuple[str, float] | None,
    words: str,
) -> Markup:
    assert clip is not None  # a pair has a clip
    name, probability = clip
    shown = prepared.clip(place[name])
    drawn = film_chart.strip(f"Filmstrip: {words}", shown, joints)
    return element("figure", drawn, element("figcaption", f"{words} ({percent(probability, 0)}): {name}"))
