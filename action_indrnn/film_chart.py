"""Filmstrips as SVG, light enough for a page with a hundred of them.

Shapes: M bodies, T frames, V joints.
"""

from collections.abc import Sequence

import numpy as np

from action_indrnn.charts import canvas, text
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout
from action_indrnn.markup import Markup, element
from action_indrnn.picture import SIDES, Film, bounding_box, flat_points, joint_sides

_HEIGHT, _LETTERS = 96.0, 13.0  # of a picture, and of the line below it
_NARROW, _WIDE = 0.5, 1.6  # width of a picture in its heights


def spread(frames: int, count: int, must: int | None = None) -> list[int]:
    """Returns evenly spread frame numbers of a clip, the nearest replaced by one that must be shown."""
    chosen: list[int] = np.unique(np.linspace(0, frames - 1, min(count, frames)).round().astype(int)).tolist()
    if must is not None:
        chosen[min(range(len(chosen)), key=lambda place: abs(chosen[place] - must))] = must
    return chosen


def strip(title: str, clip: Clip, layout: Layout, frames: Sequence[int], mark: int | None = None) -> Markup:
    """Returns some frames of a clip side by side, at one scale.

    Args:
        title: for screen readers.
        clip: joints in metres.
        layout: of its joints.
        frames: their numbers.
        mark: one of them, to be framed.
    """
    film = Film.of_clip(clip, title)
    points = flat_points(film)
    left, right, bottom, top = bounding_box([(points, film)])
    ratio = min(max((right - left) / (top - bottom), _NARROW), _WIDE)
    scale = min(_HEIGHT / (top - bottom), _HEIGHT * ratio / (right - left))
    width = _HEIGHT * ratio
    sides = joint_sides(layout)
    parts = []
    for place, frame in enumerate(frames):
        middle = (place + 0.5) * width
        if frame == mark:
            parts.append(
                element(
                    "rect",
                    x=f"{place * width + 1:.0f}",
                    y=1,
                    width=f"{width - 2:.0f}",
                    height=_HEIGHT - 2,
                    class_="peak",
                )
            )
        for body in reversed(np.flatnonzero(film.present[:, frame]).tolist()):
            x = middle + (points[body, frame, :, 0] - (left + right) / 2) * scale
            y = _HEIGHT / 2 - (points[body, frame, :, 1] - (bottom + top) / 2) * scale
            xy = np.stack([x, y], axis=1).round().astype(int).tolist()
            for side in SIDES:
                d = "".join(
                    f"M{xy[child][0]} {xy[child][1]}L{xy[parent][0]} {xy[parent][1]}"
                    for child, parent in layout.bones
                    if sides[child] == side
                )
                if d:
                    parts.append(element("path", d=d, class_=f"{side} b{body}"))
        parts.append(text(middle, _HEIGHT + _LETTERS - 3, f"{frame + 1}", class_="soft"))
    return canvas(title, width * len(frames), _HEIGHT + _LETTERS, *parts, class_="film")
