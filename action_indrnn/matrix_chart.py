"""The confusion matrix as SVG, readable at 120 classes: few paths, names, colours by share of a row.

Shapes: K classes; a matrix is (K, K) clips by true class (row) and predicted class (column).
"""

from collections.abc import Sequence

import numpy as np

from action_indrnn.charts import canvas, number, text
from action_indrnn.confusion import Counts, shares
from action_indrnn.markup import Markup, element

LEVELS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)  # a colour's smallest share of a class's clips
_LONGEST = 30  # letters of a name that are shown
_SIZES = ((20, 34.0, 13.0), (40, 19.0, 12.0), (70, 13.0, 10.5), (10**9, 8.0, 7.5))  # classes, cell, letters


def matrix(title: str, confusion: Counts, classes: Sequence[str], order: Sequence[int], name: str) -> Markup:
    """Returns the matrix with its classes in an order.

    The page's script shows what the pointer is at; `data-order` tells it the classes.

    Args:
        title: for screen readers.
        confusion: (K, K).
        classes: K names.
        order: the labels from the top and from the left.
        name: tells this order from others on the page.
    """
    count = len(order)
    cell, letters = next((cell, letters) for most, cell, letters in _SIZES if count <= most)
    longest = max(len(_short(classes[label])) for label in order)
    margin = letters * (0.56 * longest + 3.6)
    size = cell * count
    ordered = confusion[np.ix_(order, order)]
    parts = [element("rect", x=number(margin), y=number(margin), width=size, height=size, class_="plane")]
    parts += _cells(ordered, cell, margin)
    style = f"font-size:{number(letters)}px"
    for place, label in enumerate(order):
        middle = margin + (place + 0.5) * cell
        words = f"{_short(classes[label])} {label + 1}"
        parts.append(text(margin - 4, middle + letters * 0.35, words, anchor="end"))
        turned = f"rotate(-90 {number(middle)} {number(margin - 4)})"
        parts.append(
            element(
                "text",
                words,
                x=number(middle),
                y=number(margin - 4 + letters * 0.35),
                transform=turned,
                text_anchor="start",
            )
        )
    parts.append(element("path", d="", class_="cross"))
    inner = element(
        "g",
        *parts,
        style=style,
        data_order=" ".join(map(str, order)),
        data_cell=number(cell),
        data_margin=number(margin),
    )
    edge = margin + size + 2
    return element(
        "div", canvas(title, edge, edge, inner, class_="matrix"), class_="matrix-box", data_name=name
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _cells(confusion: Counts, cell: float, margin: float) -> list[Markup]:
    """The cells that are not empty: one path for each colour, on the diagonal and off it."""
    level = np.searchsorted(LEVELS, shares(confusion), side="right") - 1
    paths = []
    for where, kind in (
        (np.eye(len(confusion), dtype=bool), "right"),
        (~np.eye(len(confusion), dtype=bool), "wrong"),
    ):
        for step in range(len(LEVELS)):
            rows, columns = np.nonzero(where & (level == step) & (confusion > 0))
            if len(rows):
                square = f"h{number(cell)}v{number(cell)}h-{number(cell)}z"
                d = "".join(
                    f"M{number(margin + column * cell)} {number(margin + row * cell)}{square}"
                    for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
                )
                paths.append(element("path", d=d, class_=f"{kind} l{step}"))
    return paths


def legend() -> Markup:
    """Returns the key of the colours."""
    names = [f"from {level:.0%}" if level else "under 2%" for level in LEVELS]
    rows = [
        element(
            "tr",
            element("th", words, scope="row"),
            *(element("td", element("i", "", class_=f"{kind} l{step}")) for step, words in enumerate(names)),
        )
        for kind, words in (("right", "recognised"), ("wrong", "taken for another"))
    ]
    head = element("tr", element("td", ""), *(element("th", name, scope="col") for name in names))
    return element(
        "table",
        element("caption", "Colours: share of a class's clips"),
        element("thead", head),
        element("tbody", *rows),
        class_="colours",
    )
