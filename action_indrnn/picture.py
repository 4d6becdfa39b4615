"""Pictures of clips: a filmstrip or an animation of the skeletons, as the sensor sees them.

Shapes: M bodies, T frames, V joints, C coordinates; S frames shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import Clip, Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.skeleton_file import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRACKED = 2  # the sensor's word for a joint that it sees
YAW, PITCH = 20.0, 10.0  # degrees the scene is turned by, so that depth shows
SIDES = ("left", "right", "middle")
COLOURS = (  # of left, right and middle, for the main actor and the second
    {"left": "#1769aa", "right": "#c62828", "middle": "#37474f"},
    {"left": "#64b5f6", "right": "#ef9a6a", "middle": "#a1acb2"},
)
FRAME_RATE = 30
_MARGIN = 0.15  # metres around what is shown
_INCHES, _DPI = 1.9, 110  # height of a filmstrip's pictures
_LEGEND_INCHES = 1.05  # width of an entry


@dataclass(frozen=True)
class Film:
    """What is drawn.

    Attributes:
        title: above the picture.
        joints: (M, T, V, C) metres, y up.
        present: (M, T) bool.
        states: (M, T, V) uint8, 0 not tracked, 1 inferred, 2 tracked.
    """

    title: str
    joints: Floats
    present: NDArray[np.bool_]
    states: NDArray[np.uint8]

    @classmethod
    def of_clip(cls, clip: Clip, title: str, recording: Recording | None = None) -> "Film":
        """The film of a clip; the recording that it was chosen from knows which joints were tracked."""
        states = np.full(clip.joints.shape[:3], TRACKED, np.uint8)
        for track in recording.values() if recording is not None else ():
            for place, frame in enumerate(track.frames.tolist()):
                same = (clip.joints[:, frame] == track.joints[place]).all(axis=(1, 2))
                states[same, frame] = track.states[place]
        return cls(title, clip.joints, clip.present, states)


def filmstrip(films: Sequence[Film], layout: Layout, path: Path, *, count: int = 8) -> None:
    """Write a .png or .svg with one row of evenly spaced frames for each film, all at one scale.

    Raises:
        ValueError: matplotlib is missing.
    """
    figure_kind = _matplotlib()
    flat = [flat_points(film) for film in films]
    box = bounding_box(list(zip(flat, films, strict=True)))
    ratio = np.clip((box[1] - box[0]) / (box[3] - box[2]), 0.45, 2.2)
    figure = figure_kind(figsize=(count * _INCHES * ratio, len(films) * (_INCHES + 0.45)), dpi=_DPI)
    panels = figure.subplots(len(films), count, squeeze=False)
    for row, points, film in zip(panels, flat, films, strict=True):
        frames = np.linspace(0, film.present.shape[1] - 1, count).round().astype(int)
        for axes, frame in zip(row, frames.tolist(), strict=True):
            _draw(axes, points[:, frame], film, frame, layout, box)
            axes.set_title(f"{frame + 1}", fontsize=7, color="#777777", pad=1)
        row[0].annotate(
            film.title, (0, 1), (0, 15), xycoords="axes fraction", textcoords="offset points", fontsize=9
        )
    height = figure.get_figheight()
    figure.subplots_adjust(0.01, 0.2 / height, 0.99, 1 - 0.42 / height, wspace=0.03, hspace=0.32)
    _legend(figure, films)
    figure.savefig(path)


def animation(film: Film, layout: Layout, path: Path, *, frame_rate: float = FRAME_RATE) -> None:
    """Write a .gif of a film that goes round.

    Raises:
        ValueError: matplotlib is missing.
    """
    figure_kind = _matplotlib()
    from matplotlib.animation import PillowWriter

    points = flat_points(film)
    box = bounding_box([(points, film)])
    ratio = np.clip((box[1] - box[0]) / (box[3] - box[2]), 0.5, 2.0)
    figure = figure_kind(figsize=(3.4 * ratio, 3.9), dpi=80)
    axes = figure.subplots()
    figure.subplots_adjust(0.01, 0.13, 0.99, 0.93)
    _legend(figure, [film])
    writer = PillowWriter(fps=round(frame_rate))
    with writer.saving(figure, path, dpi=80):
        for frame in range(film.present.shape[1]):
            axes.clear()
            _draw(axes, points[:, frame], film, frame, layout, box)
            axes.set_title(f"{film.title}  {frame + 1}/{film.present.shape[1]}", fontsize=8)
            writer.grab_frame()


def _matplotlib() -> "type[Figure]":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("a picture needs matplotlib: pip install action-indrnn[viz]") from error
    return Figure


def flat_points(film: Film) -> NDArray[np.float64]:
    """(M, T, V, 2) metres to the right and up as the sensor sees it, turned a little about its own middle."""
    seen = film.joints[film.present]
    middle = np.median(seen, axis=(0, 1)) if len(seen) else np.zeros(3)
    x, y, z = np.moveaxis(film.joints.astype(np.float64) - middle, -1, 0)
    yaw, pitch = np.radians([YAW, PITCH])
    right, depth = -x, z  # x grows to the sensor's left
    across, away = right * np.cos(yaw) + depth * np.sin(yaw), depth * np.cos(yaw) - right * np.sin(yaw)
    return np.stack([across, y * np.cos(pitch) + away * np.sin(pitch)], axis=-1)


def bounding_box(flat: Sequence[tuple[NDArray[np.float64], Film]]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of all that is shown."""
    points = np.concatenate([points[film.present].reshape(-1, 2) for points, film in flat])
    if not len(points):
        return -1.0, 1.0, -1.0, 1.0
    (left, bottom), (right, top) = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    return left, right, bottom, top


def _draw(
    axes: "Axes",
    points: NDArray[np.float64],
    film: Film,
    frame: int,
    layout: Layout,
    box: tuple[float, float, float, float],
) -> None:
    """Draw one frame, (M, V, 2) points, the second actor below the first."""
    left, right, bottom, top = box
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dddddd")
    sides = joint_sides(layout)
    for body in reversed(range(len(points))):
        if not film.present[body, frame]:
            continue
        colours = COLOURS[min(body, 1)]
        place = points[body]
        for child, parent in layout.bones:
            axes.plot(*place[[child, parent]].T, color=colours[sides[child]], lw=1.6, solid_capstyle="round")
        ink = np.array([colours[side] for side in sides])
        state = film.states[body, frame]
        for value, style in _styles(ink).items():
            some = state == value
            if some.any():
                axes.scatter(
                    *place[some].T,
                    zorder=3,
                    **{key: how[some] if isinstance(how, np.ndarray) else how for key, how in style.items()},
                )


def _styles(ink: NDArray[Any]) -> dict[int, dict[str, Any]]:
    """How joints of each tracking state are drawn."""
    return {
        2: {"s": 7, "c": ink, "linewidths": 0},
        1: {"s": 11, "facecolors": "white", "edgecolors": ink, "linewidths": 0.9},
        0: {"s": 13, "c": ink, "marker": "x", "linewidths": 1.0},
    }


def joint_sides(layout: Layout) -> list[str]:
    """The side of each joint."""
    sides = ["middle"] * len(layout.joints)
    for left, right in layout.pairs:
        sides[left], sides[right] = "left", "right"
    return sides


def _legend(figure: "Figure", films: Sequence[Film]) -> None:
    from matplotlib.lines import Line2D

    second = any(len(film.present) > 1 and film.present[1].any() for film in films)
    entries = [
        Line2D([], [], color=COLOURS[body][side], lw=2, label=side + (", actor 2" if body else ""))
        for body in range(1 + second)
        for side in SIDES
    ]
    if any((film.states[film.present] < TRACKED).any() for film in films):
        entries.append(
            Line2D([], [], marker="o", label="inferred joint", mfc="white", mec="#37474f", ls="", ms=4)
        )
    if any((film.states[film.present] == 0).any() for film in films):
        entries.append(Line2D([], [], marker="x", mec="#37474f", ls="", ms=4, label="joint not tracked"))
    columns = max(1, int(figure.get_figwidth() / _LEGEND_INCHES))
    figure.legend(
        handles=entries,
        loc="lower center",
        ncols=min(columns, len(entries)),
        fontsize=6.5,
        frameon=False,
        borderpad=0,
        handlelength=1.4,
        columnspacing=1.2,
    )
