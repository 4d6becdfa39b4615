"""Notices clips whose left and right are swapped, that stand on their head, or that lie."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout, key
from action_indrnn.data_prep.points import Doubles

Doubt = Literal["mirrored", "upside down", "lying"]
CURES: dict[Doubt, str] = {
    "mirrored": "left and right look swapped: check the order of the joints, or set mirrored = true "
    "where a layout file says what they are",
    "upside down": "heads look lower than hips: check the layout's up",
    "lying": "heads look as high as hips, which lie far from them: check the layout's up",
}
_LEVEL = 0.35  # of the way from hips to head goes up in a body that lies: 20 degrees off the floor
# Bones (parent, child) that point forwards, or with -1 backwards, asked in this order. By them 1 to 2 % of
# the clips of SBU, MSR Action3D and UTKinect look mirrored, and 8 % of Florence 3D's, which has no feet.
_FORWARD = (
    (("ankle", "foot", 1), ("ankle", "toe", 1)),
    (("knee", "ankle", -1), ("shoulder", "elbow", 1), ("elbow", "wrist", 1), ("elbow", "hand", 1)),
)


def unchecked(layout: Layout) -> str:
    """What cannot be told of clips of a layout, and why; empty where all can."""
    words = [key(joint) for joint in layout.joints]
    forward = bool(layout.across) and any(_sign(layout, words, kinds) for kinds in _FORWARD)
    heads, hips = _ends(words)
    found = [
        *(
            []
            if forward
            else [
                "left and right are swapped: no line across, or no bone from ankle to foot or toe, or of leg "
                "or arm"
            ]
        ),
        *([] if heads and hips else ["up is down: no joint named head or nose, or none hip or pelvis"]),
    ]
    return f"{layout.name}: it cannot be told whether {'; whether '.join(found)}" if found else ""


def _ends(words: Sequence[str]) -> tuple[list[int], list[int]]:
    """The joints that are like a head, and like hips."""
    hips = [place for place, word in enumerate(words) if "hip" in word or word in ("pelvis", "base of spine")]
    return [place for place, word in enumerate(words) if word in ("head", "nose")], hips


def _sign(
    layout: Layout, words: Sequence[str], kinds: Sequence[tuple[str, str, int]]
) -> dict[tuple[int, int], int]:
    """The bones (child, parent) that point forwards, 1, or backwards, -1."""
    return {
        (child, parent): sign
        for child, parent in layout.bones
        for start, end, sign in kinds
        if start in words[parent] and end in words[child]
    }


def doubts(clip: Clip, layout: Layout) -> list[Doubt]:
    """What looks wrong with a clip in metres with y up.

    Feet, or shanks and arms, tell where a person faces, so it does not matter where the sensor stands; where
    a layout's names or bones have none of them, or nothing like a head, that question is left open.
    """
    poses = clip.joints[clip.present].astype(np.float64)  # (n, V, 3)
    words = [key(joint) for joint in layout.joints]
    found: list[Doubt] = []
    heads, hips = _ends(words)
    if heads and hips:
        spine = poses[:, heads].mean(axis=1) - poses[:, hips].mean(axis=1)  # (n, 3)
        if np.median(np.abs(spine[:, 1]) - _LEVEL * np.linalg.norm(spine, axis=1)) < 0:
            return ["lying"]  # where up is not known, right is not either
        if np.median(spine[:, 1]) < 0:
            found.append("upside down")
    if _side(poses, words, layout) * (-1 if found else 1) < 0:
        found.append("mirrored")
    return found


def _side(poses: Doubles, words: Sequence[str], layout: Layout) -> float:
    """How far what is called right lies to the right of where the person faces; 0 if that cannot be told."""
    if not layout.across:
        return 0.0
    left, right = np.array(layout.across).T
    across = (poses[:, right] - poses[:, left]).mean(axis=1)  # (n, 3)
    for kinds in _FORWARD:
        forward = np.zeros_like(across)
        for (child, parent), sign in _sign(layout, words, kinds).items():
            forward += sign * (poses[:, child] - poses[:, parent])
        # forward x up points to a person's right; up is y
        side = float((across[:, 2] * forward[:, 0] - across[:, 0] * forward[:, 2]).sum())
        if side:
            return side
    return 0.0
