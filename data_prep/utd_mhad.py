"""UTD-MHAD (Chen et al., ICIP 2015), Kinect skeletons: 27 classes, 8 subjects, 20 joints, 861 clips.

One MATLAB file a clip, `aA_sS_tT_skeleton.mat`: action, subject, take; `d_skel` (20, 3, T), metres. The
joints begin with head, shoulder centre, spine and hip centre and go on as Kinect v1's. The set has a clip
for every action, subject and take but three.
"""

import re
from functools import partial

import numpy as np

from action_indrnn.data_prep import matlab, one_a_file
from action_indrnn.data_prep.clip import ClipError, from_joints
from action_indrnn.data_prep.data_set import DataSet, Sample
from action_indrnn.data_prep.protocols import Protocol
from action_indrnn.data_prep.sources import Source

_FILE = re.compile(r"(?:.*/)?(a(\d{1,2})_s(\d)_t(\d))_skeleton\.mat", re.DOTALL)
_JOINTS = 20
_ORDER = (3, 2, 1, 0, *range(4, _JOINTS))  # of theirs in Kinect v1's


def _sample(source: Source, name: str, action: int, subject: int, take: int) -> Sample:
    if not (1 <= action <= len(UTD_MHAD.classes) and 1 <= subject <= 8):
        raise ClipError(f"{source}: expected action 1 to 27 and subject 1 to 8, found {name}")
    joints = matlab.read(source.read(), str(source)).get("d_skel")
    if not isinstance(joints, np.ndarray) or joints.ndim != 3 or joints.shape[:2] != (_JOINTS, 3):
        found = joints.shape if isinstance(joints, np.ndarray) else "none"
        raise ClipError(f"{source}: expected d_skel ({_JOINTS}, 3, T), found {found}")
    clip = from_joints(name, joints[_ORDER, :, :].transpose(2, 0, 1)[None], str(source))
    return Sample(clip, {"label": action - 1, "subject": subject, "replication": take})


UTD_MHAD = DataSet(
    name="utd-mhad",
    title="UTD-MHAD",
    layout="kinect20",
    classes=(
        *("swipe left", "swipe right", "wave", "clap", "throw", "cross arms", "basketball shoot", "draw x"),
        *("draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling", "boxing"),
        *("baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch"),
        *("pick up and throw", "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat"),
    ),
    protocols={"xsub": Protocol("subject", (1, 3, 5, 7))},
    clip_count=861,
    counts={"xsub": (431, 430)},
    columns=("subject", "replication"),
    samples=partial(one_a_file.samples, wanted=_FILE, what="aA_sS_tT_skeleton.mat", read=_sample),
    takes=_FILE.fullmatch,
)
