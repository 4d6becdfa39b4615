"""Filmstrips as SVG, light enough for a page with a hundred of them.

Shapes: M bodies, T frames, V joints.
"""

import numpy as np
from numpy.typing import NDArray

from action_indrnn.charts import canvas, number, text
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout
from action_indrnn.markup import Markup, element
from action_indrnn.picture import SIDES, Film, bounding_box, flat_points, joint_sides

WIDTH = 520.0  # of a strip
_LOW, _HIGH = 64.0, 120.0  # a picture's height
_HEAD = 0.1  # metres, a head's radius
_LETTERS = 14.0  # of the line below it
_FEW, _MANY = 5, 7  # pictures of a scene that is wider than high, and of any other


def strip(title: str, clip: Clip, layout: Layout, mark: int | None = None) -> Markup:
    """Returns evenly spread frames of a clip side by side, at one scale, none without anybody.

    Args:
        title: for screen readers.
        clip: joints in metres.
        layout: of its joints.
        mark: a frame that must be among them, framed.
    """
    film = Film.of_clip(clip, title)
    points = flat_points(film)
    left, right, bottom, top = bounding_box([(points, film)])
    ratio = (right - left) / (top - bottom)
    frames = spread(np.any(film.present, axis=0), _MANY if ratio < 1 else _FEW, mark)
    width = WIDTH / len(frames)
    height = min(max(width / ratio, _LOW), _HIGH)
    scale = min(height / (top - bottom), width / (right - left))
    sides = joint_sides(layout)
    head = layout.joints.index("head") if "head" in layout.joints else None
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
                    height=f"{height - 2:.0f}",
                    class_="peak",
                )
            )
        for body in reversed(np.flatnonzero(film.present[:, frame]).tolist()):
            x = middle + (points[body, frame, :, 0] - (left + right) / 2) * scale
            y = height / 2 - (points[body, frame, :, 1] - (bottom + top) / 2) * scale
            xy = np.stack([x, y], axis=1).round().astype(int).tolist()
            for side in SIDES:
                d = "".join(
                    f"M{xy[child][0]} {xy[child][1]}L{xy[parent][0]} {xy[parent][1]}"
                    for child, parent in layout.bones
                    if sides[child] == side
                )
                if d:
                    parts.append(element("path", d=d, class_=f"{side} b{body}"))
            if head is not None:
                size = number(max(_HEAD * scale, 1.5))
                parts.append(
                    element("circle", cx=xy[head][0], cy=xy[head][1], r=size, class_=f"head b{body}")
                )
        parts.append(text(middle, height + _LETTERS - 3, f"{frame + 1}", class_="soft"))
    return canvas(title, WIDTH, height + _LETTERS, *parts, class_="film")


def spread(present: NDArray[np.bool_] | np.bool_, count: int, must: int | None = None) -> list[int]:
    """Returns evenly spread numbers of frames with somebody in them, the nearest replaced by `must`."""
    seen = np.flatnonzero(present)
    places = np.unique(np.linspace(0, len(seen) - 1, min(count, len(seen))).round().astype(int))
    chosen: list[int] = seen[places].tolist()
    if must is not None:
        chosen[min(range(len(chosen)), key=lambda place: abs(chosen[place] - must))] = must
    return chosen
