"""Charts as SVG: lines, bars, memory histograms; colours and fonts are the page's, by class.

Every chart has a title, which is also what a screen reader says of it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from action_indrnn.markup import Markup, element, join

WIDTH, HEIGHT = 380, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 38  # around the plot
SHORT, LONG, PER_DECADE = 1.0, 100.0, 10  # of a memory histogram, in steps
_BARS = round(PER_DECADE * math.log10(LONG / SHORT)) + 2  # and one for longer, one for what never fades


def number(value: float) -> str:
    """Returns a number for a coordinate: one place behind the point, no more digits than needed."""
    return f"{value:.1f}".removesuffix(".0")


def figure(svg: Markup, caption: str | Markup) -> Markup:
    """Returns a chart above its caption."""
    return element("figure", svg, element("figcaption", caption))


def canvas(
    title: str, width: float, height: float, *children: Markup, class_: str = "chart", stretch: bool = False
) -> Markup:
    """Returns an SVG image whose name for screen readers is its title; stretched, it fills its frame."""
    return element(
        "svg",
        *children,
        class_=class_,
        role="img",
        aria_label=title,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=number(width),
        height=number(height),
        preserveAspectRatio="none" if stretch else None,
    )


def text(x: float, y: float, words: str, *, anchor: str = "middle", class_: str | None = None) -> Markup:
    """Returns words at a place."""
    return element("text", words, x=number(x), y=number(y), text_anchor=anchor, class_=class_)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns round numbers in a range, about `count`."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]],
    *,
    x_label: str,
    y_label: str,
    percent: bool = False,
    log: bool = False,
    low: float | None = None,
    mark: float | None = None,
) -> Markup:
    """Returns a line chart.

    Args:
        title: of the chart.
        series: by name, curves (x, y) of one colour; points that are not finite are left out.
        x_label: under the x axis.
        y_label: above the y axis.
        percent: whether y is a share to be shown in percent.
        log: whether the y axis is logarithmic.
        low: the smallest y shown, if the curves do not go below.
        mark: an x to draw a line at.
    """
    every = [point for curves in series.values() for x, y in curves for point in zip(x, y, strict=True)]
    good = [(x, y) for x, y in every if math.isfinite(y) and (y > 0 or not log)]
    if not good:
        return element("p", f"{title}: no numbers.")
    scale = math.log10 if log else float
    x_low, x_high = min(x for x, _ in good), max(x for x, _ in good)
    y_low, y_high = scale(min(y for _, y in good)), scale(max(y for _, y in good))
    if low is not None:
        y_low = min(y_low, scale(low))
    if percent:
        y_high = max(y_high, 1.0)
    if log:
        y_low, y_high = math.floor(y_low + 1e-9), math.ceil(y_high - 1e-9)
    if y_low == y_high:
        y_low, y_high = y_low - 1, y_high + 1
    x_high = x_high if x_high > x_low else x_low + 1

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return HEIGHT - _BOTTOM - (scale(y) - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    levels = [10.0**power for power in range(int(y_low), int(y_high) + 1)] if log else ticks(y_low, y_high)
    for value in levels:
        words = f"{value:.0%}" if percent else f"{value:.0e}".replace("e-0", "e-") if log else f"{value:g}"
        place = number(up(value))
        parts += [
            element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=place, y2=place, class_="grid"),
            text(_LEFT - 6, up(value) + 4, words, anchor="end"),
        ]
    for value in ticks(x_low, x_high, 6):
        parts.append(text(across(value), HEIGHT - _BOTTOM + 16, f"{value:g}"))
    if mark is not None and x_low <= mark <= x_high:
        place = number(across(mark))
        parts.append(element("line", x1=place, x2=place, y1=_TOP, y2=HEIGHT - _BOTTOM, class_="mark"))
    parts.append(text((WIDTH + _LEFT) / 2, HEIGHT - 4, x_label, class_="label"))
    for colour, curves in enumerate(series.values()):
        for x, y in curves:
            points = [
                f"{number(across(a))},{number(up(b))}"
                for a, b in zip(x, y, strict=True)
                if math.isfinite(b) and (b > 0 or not log)
            ]
            parts.append(element("polyline", points=" ".join(points), class_=f"line s{colour}"))
    keys = [
        element("span", name, class_=f"key s{place}")
        for place, (name, curves) in enumerate(series.items())
        if any(math.isfinite(value) for _, y in curves for value in y)
    ]
    return join(
        element("p", element("b", y_label), *(keys if len(keys) > 1 else ()), class_="legend"),
        canvas(title, WIDTH, HEIGHT, *parts),
    )


def memory_bins(u: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns how many recurrent weights fall into each bar of a histogram, (2, bars): u >= 0, u < 0."""
    size = np.abs(u)
    length = 1 / np.maximum(1 - size, 1e-9)
    place = np.minimum((np.log10(length) * PER_DECADE).astype(np.int64), _BARS - 2)
    place[size >= 1] = _BARS - 1
    return np.stack([np.bincount(place[side], minlength=_BARS) for side in (u >= 0, u < 0)])


def memory_histogram(
    title: str, u: NDArray[np.float64], *, seconds: float | None, most: NDArray[np.int64]
) -> Markup:
    """Returns a histogram of memory lengths: weights from 0 on upwards, negative ones downwards.

    Args:
        title: of the chart.
        u: (H,) recurrent weights.
        seconds: that a step takes; none where it is not known.
        most: units in the tallest bar of the charts that are compared, upwards and downwards.
    """
    width, top, plot, letters = 330.0, 6.0, 108.0, 30.0
    bar = width / (_BARS + 1)
    unit = plot / max(int(most.sum()), 1)
    base = top + unit * int(most[0])
    bottom = top + plot
    parts = []
    for steps in (1, 2, 5, 10, 20, 50, 100):
        x = math.log10(steps) * PER_DECADE * bar
        anchor = "start" if steps == 1 else "middle"
        parts.append(element("line", x1=number(x), x2=number(x), y1=top, y2=bottom, class_="grid"))
        parts.append(text(x, bottom + 12, f"{steps}", anchor=anchor))
        if seconds is not None and steps in (1, 5, 20, 100):
            parts.append(text(x, bottom + 25, f"{steps * seconds:.2g} s", anchor=anchor, class_="soft"))
    parts.append(text(width - bar / 2, bottom + 12, "∞"))
    for place, (above, below) in enumerate(memory_bins(u).T.tolist()):
        x = place * bar + (bar / 2 if place == _BARS - 1 else 0)
        if above:
            parts.append(
                _bar(x, base - above * unit, bar, above * unit, "forever" if place == _BARS - 1 else "fades")
            )
        if below:
            parts.append(_bar(x, base, bar, below * unit, "negative"))
    parts.append(element("line", x1=0, x2=width, y1=number(base), y2=number(base), class_="axis"))
    return canvas(title, width, bottom + letters, *parts, class_="chart small")


def response(title: str, state: NDArray[np.floating[Any]], taken: NDArray[np.floating[Any]]) -> Markup:
    """Returns a unit's state over the steps as a line, each above what is left at the end of its intake.

    Both are (S,), each drawn to its own scale; intakes may be below 0.
    """
    width, height = 240.0, 46.0
    step = width / len(state)
    low, high = min(float(taken.min()), 0.0), max(float(taken.max()), 0.0)
    unit = (height - 4) / max(high - low, 1e-9)
    base = 2 + high * unit
    parts = []
    for place, value in enumerate(taken.tolist()):
        tall = abs(value) * unit
        if tall >= 0.05:
            top = base - tall if value > 0 else base
            parts.append(_bar(place * step, top, step, tall, "fades" if value > 0 else "negative"))
    parts.append(element("line", x1=0, x2=width, y1=number(base), y2=number(base), class_="axis"))
    scale = (base - 2) / max(float(np.abs(state).max()), 1e-9)
    points = " ".join(
        f"{number((place + 0.5) * step)},{number(base - value * scale)}"
        for place, value in enumerate(state.tolist())
    )
    parts.append(element("polyline", points=points, class_="line s1"))
    return canvas(title, width, height, *parts, class_="chart response", stretch=True)


def _bar(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    gap = min(1.0, width / 4)  # a long clip has a bar for each of its frames
    x, width = x + gap / 2, width - gap
    return element("rect", x=number(x), y=number(y), width=number(width), height=number(height), class_=kind)
