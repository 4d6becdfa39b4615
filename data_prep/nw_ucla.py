"""Northwestern-UCLA Multiview Action3D (Wang et al., CVPR 2014): 10 classes, 10 subjects, 3 cameras.

The skeletons as CTR-GCN and Shift-GCN take them, one JSON file a clip, `aAA_sSS_eEE_vVV.json`: action,
subject, take, camera; `skeletons` (T, 20, 3), metres, joints in the order of Kinect v1. There are no actions
7 and 10.
"""

import re
from functools import partial

import numpy as np

from action_indrnn.data_prep import clip_text, one_a_file
from action_indrnn.data_prep.clip import ClipError, from_joints
from action_indrnn.data_prep.data_set import DataSet, Sample
from action_indrnn.data_prep.protocols import Protocol
from action_indrnn.data_prep.sources import Source

_FILE = re.compile(r"(?:.*/)?(a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d))\.json", re.DOTALL)
_JOINTS = 20
_ACTIONS = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}


def _sample(source: Source, name: str, action: int, subject: int, take: int, camera: int) -> Sample:
    if action not in _ACTIONS or not (1 <= subject <= 10 and 1 <= camera <= 3):
        expected = f"action {', '.join(map(str, _ACTIONS))}, subject 1 to 10 and camera 1 to 3"
        raise ClipError(f"{source}: expected {expected}, found {name}")
    content = clip_text.parsed(source.read().decode("latin-1"), str(source))
    try:
        joints = np.asarray(content["skeletons"], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ClipError(f"{source}: expected 'skeletons', a list of frames: {error}") from error
    if joints.ndim != 3 or joints.shape[1:] != (_JOINTS, 3):
        raise ClipError(f"{source}: expected skeletons (T, {_JOINTS}, 3), found {joints.shape}")
    columns = {"label": list(_ACTIONS).index(action), "subject": subject, "camera": camera}
    return Sample(from_joints(name, joints[None], str(source)), {**columns, "replication": take})


NW_UCLA = DataSet(
    name="nw-ucla",
    title="Northwestern-UCLA Multiview Action3D",
    layout="kinect20",
    classes=tuple(_ACTIONS.values()),
    protocols={"xview": Protocol("camera", (1, 2))},
    clip_count=1484,
    counts={"xview": (1020, 464)},
    columns=("subject", "camera", "replication"),
    samples=partial(one_a_file.samples, wanted=_FILE, what="aAA_sSS_eEE_vVV.json", read=_sample),
    takes=_FILE.fullmatch,
)
