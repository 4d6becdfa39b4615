"""Normalises clips: origin and, on request, the viewing direction and the size of the body."""

from typing import Literal

import numpy as np

from action_indrnn.data_prep.clip import Clip, Floats
from action_indrnn.data_prep.layout import Layout

View = Literal["camera", "first-frame", "whole-clip", "raw"]
VIEWS: tuple[View, ...] = ("camera", "first-frame", "whole-clip", "raw")
MEAN_BONE = 0.2  # metres; about that of a Kinect's 19 to 24 bones of a grown-up


def normalize(clip: Clip, layout: Layout, view: View = "camera") -> Clip:
    """The clip with the main actor's centre joint of the first valid frame as origin.

    Both actors move with it, so their distance and all motion stay. Uses the first valid frame only, so a
    stream can be normalised the same way; the view "whole-clip" alone needs all frames.

    Args:
        clip: actors ranked; the first is the main actor.
        layout: says which joint is the centre and which lines run across the body.
        view: "camera" leaves the camera's axes; "first-frame" turns about the vertical (y) axis until the
            main actor faces the camera in that frame; "whole-clip" until it does on average over all of its
            frames; "raw" leaves the origin too, as the original IndRNN code does. Gravity's direction is
            never changed.
    """
    if view == "raw":
        return clip
    origin, turn = standing(clip.joints[0, clip.present[0]], layout, view)
    joints = clip.joints - origin
    if turn is not None:
        joints = joints @ turn.T
    joints[~clip.present] = 0
    return Clip(clip.name, joints, clip.present)


def placement(pose: Floats, layout: Layout, view: View, align: bool = False) -> tuple[Floats, Floats | None]:
    """The origin (3,) and the turn (3, 3), if any, that the main actor's first pose (V, 3) gives a clip.

    Args:
        pose: joints.
        layout: of them.
        view: see `normalize`.
        align: whether the turn is `alignment`'s, whatever the view.

    Raises:
        ValueError: the view is not decided by the first pose.
    """
    check_causal(view)
    return standing(pose[None], layout, view, align)


def standing(poses: Floats, layout: Layout, view: View, align: bool = False) -> tuple[Floats, Floats | None]:
    """What `placement` returns, of all poses (T, V, 3) in which the main actor is seen; for any view."""
    origin = np.zeros(3, np.float32) if view == "raw" else poses[0, layout.centre].copy()
    if align:
        return origin, alignment(poses[0], layout)
    if view == "first-frame":
        return origin, _turn(poses[:1], layout)
    return origin, _turn(poses, layout) if view == "whole-clip" else None


def alignment(pose: Floats, layout: Layout) -> Floats:
    """(3, 3) turn of a pose (V, 3) to the camera, as in "first-frame", and scale to bones of `MEAN_BONE`."""
    turn = _turn(pose[None], layout)
    if not layout.bones:
        return turn
    child, parent = np.array(layout.bones).T
    length = np.linalg.norm(pose[child] - pose[parent], axis=1).mean()
    return turn * np.float32(MEAN_BONE / length) if length > 0 else turn


def check_causal(view: View) -> None:
    """Check that a view can be taken before a clip's end.

    Raises:
        ValueError: it cannot.
    """
    if view == "whole-clip":
        raise ValueError(
            "expected a view that a clip's first frame decides, found 'whole-clip': the model needs the "
            "whole clip at once and cannot answer frame by frame; preprocess with --view first-frame"
        )


def _turn(poses: Floats, layout: Layout) -> Floats:
    """(3, 3) rotation about y that lays the mean left-to-right line of poses (T, V, 3) along x."""
    if not layout.across:
        return np.eye(3, dtype=np.float32)
    left, right = np.array(layout.across).T
    across = (poses[:, right] - poses[:, left]).mean(axis=(0, 1))
    length = np.hypot(across[0], across[2])
    if length == 0:
        return np.eye(3, dtype=np.float32)
    cosine, sine = across[0] / length, across[2] / length
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], np.float32)
