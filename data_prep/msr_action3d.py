"""MSR Action3D (Li et al., CVPR Workshops 2010), real-world coordinates: 20 classes, 10 subjects, 20 joints.

One text file a clip, `aAA_sSS_eEE_skeleton3D.txt`: action, subject, take; a line `x y z confidence` a joint,
20 lines a frame. Of its 567 clips 557 are used (Wang et al., CVPR 2012); the other ten hold mostly broken
frames. A frame of zeros is one in which nobody was seen. A joint of an arm, a leg or the head has confidence
0 where it was not seen, and its place leaps: it keeps the bone to its parent that it last had. The trunk's
joints and the feet are made of others and have 0 nearly throughout.
"""

import re
from functools import partial

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep import layout, one_a_file, points, tables
from action_indrnn.data_prep.clip import Bools, ClipError, from_joints
from action_indrnn.data_prep.data_set import DataSet, Sample
from action_indrnn.data_prep.protocols import Protocol
from action_indrnn.data_prep.sources import Source

_FILE = re.compile(r"(?:.*/)?(a(\d\d)_s(\d\d)_e(\d\d))_skeleton3D\.txt", re.DOTALL)
_JOINTS = 20
_SEEN = (
    "head",
    *(
        f"{side} {joint}"
        for side in ("left", "right")
        for joint in ("elbow", "wrist", "hand", "knee", "ankle")
    ),
)
_FEET = (("left foot", "left ankle"), ("right foot", "right ankle"))
_UNUSED = frozenset(
    (
        *("a02_s03_e02", "a04_s03_e01", "a07_s04_e01", "a13_s09_e01", "a13_s09_e02", "a13_s09_e03"),
        *("a14_s03_e01", "a20_s07_e01", "a20_s07_e03", "a20_s10_e03"),
    )
)
_TRAIN = (1, 3, 5, 7, 9)
_SUBSETS = {  # actions
    "as1": (2, 3, 5, 6, 10, 13, 18, 20),
    "as2": (1, 4, 7, 8, 9, 11, 12, 14),
    "as3": (6, 14, 15, 16, 17, 18, 19, 20),
}


def _limbs_held(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1, T, V, 3) the joints of (T V, 4) places and confidences; what was not seen of limbs is held."""
    body = layout.load("msr20")
    number = {joint: place for place, joint in enumerate(body.joints)}
    frames = table.reshape(-1, _JOINTS, 4)
    joints = frames[..., :3]
    there: Bools = (joints != 0).any(axis=(1, 2))
    seen = np.ones(joints.shape[:2], bool)
    limbs = [number[joint] for joint in _SEEN]
    seen[:, limbs] = frames[:, limbs, 3] > 0
    seen |= ~np.maximum.accumulate(seen & there[:, None], axis=0)  # before a limb is first seen: as recorded
    for foot, ankle in _FEET:
        seen[:, number[foot]] = seen[:, number[ankle]]
    seen &= there[:, None]
    return points.whole(joints[None], seen[None], body)


def _sample(source: Source, name: str, action: int, subject: int, take: int) -> Sample:
    if name in _UNUSED:
        raise ClipError(f"{name}: on the list of clips that the published protocols leave out")
    if not (1 <= action <= len(MSR_ACTION3D.classes) and 1 <= subject <= 10):
        raise ClipError(f"{source}: expected action 1 to 20 and subject 1 to 10, found {name}")
    table = tables.read(source, 4)
    if len(table) % _JOINTS:
        raise ClipError(f"{source}: expected {_JOINTS} lines a frame, found {len(table)} lines")
    clip = from_joints(name, _limbs_held(table), str(source))
    return Sample(clip, {"label": action - 1, "subject": subject, "replication": take})


MSR_ACTION3D = DataSet(
    name="msr-action3d",
    title="MSR Action3D",
    layout="msr20",
    classes=(
        *("high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw"),
        *("draw x", "draw tick", "draw circle", "hand clap", "two-hand wave", "side boxing", "bend"),
        *("forward kick", "side kick", "jogging", "tennis swing", "tennis serve", "golf swing"),
        "pick up and throw",
    ),
    protocols={
        "xsub": Protocol("subject", _TRAIN),
        **{
            name: Protocol("subject", _TRAIN, labels=tuple(action - 1 for action in actions))
            for name, actions in _SUBSETS.items()
        },
    },
    clip_count=557,
    counts={"xsub": (284, 273), "as1": (114, 105), "as2": (116, 112), "as3": (111, 111)},
    columns=("subject", "replication"),
    samples=partial(one_a_file.samples, wanted=_FILE, what="_skeleton3D.txt", read=_sample),
    takes=_FILE.fullmatch,
)
