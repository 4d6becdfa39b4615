"""Notices clips whose left and right are swapped, or that stand on their head."""

from typing import Literal

import numpy as np

from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout, key

Doubt = Literal["mirrored", "upside down"]
CURES: dict[Doubt, str] = {
    "mirrored": "left and right look swapped: check the order of the joints, or set mirrored = true",
    "upside down": "heads look lower than hips: check the layout's up",
}
_FORWARD = (("ankle", ("foot", "toe")), ("hip", ("knee",)))  # thighs and feet point forwards more than back


def doubts(clip: Clip, layout: Layout) -> list[Doubt]:
    """What looks wrong with a clip in metres with y up.

    Feet and thighs tell where a person faces, so it does not matter where the sensor stands; where a layout's
    names or bones have neither, or nothing like a head, that question is left open.
    """
    poses = clip.joints[clip.present].astype(np.float64)  # (n, V, 3)
    words = [key(joint) for joint in layout.joints]
    found: list[Doubt] = []
    lines = [
        (parent, child)
        for child, parent in layout.bones
        for start, ends in _FORWARD
        if start in words[parent] and any(end in words[child] for end in ends)
    ]
    left, right = np.array(layout.across).T
    if lines:
        start, end = np.array(lines).T
        forward = (poses[:, end] - poses[:, start]).mean(axis=1)
        across = (poses[:, right] - poses[:, left]).mean(axis=1)
        # forward x up points to a person's right; up is y
        side = across[:, 2] * forward[:, 0] - across[:, 0] * forward[:, 2]
        if side.sum() < 0:
            found.append("mirrored")
    hips = [place for place, word in enumerate(words) if "hip" in word or word in ("pelvis", "base of spine")]
    heads = [place for place, word in enumerate(words) if word in ("head", "nose")]
    if heads and hips and np.median(poses[:, heads, 1].mean(1) - poses[:, hips, 1].mean(1)) < 0:
        found.append("upside down")
    return found
