"""SBU Kinect Interaction (Yun et al., CVPR Workshops 2012): 282 clips of two people, 8 classes, 15 joints.

One CSV file a clip, `sAAsBB/CC/RRR/skeleton_pos.txt`: pair of people, class, repetition. A line is a frame:
its number, x y z of the first person's joints, then of the second's, normalised; the data set's page gives
the inverse. The five folds are those of the field, by pair of people.
"""

import re
from functools import partial

import numpy as np

from action_indrnn.data_prep import one_a_file, tables
from action_indrnn.data_prep.clip import ClipError, from_joints
from action_indrnn.data_prep.data_set import DataSet, Sample
from action_indrnn.data_prep.protocols import Protocol
from action_indrnn.data_prep.sources import Source

_FILE = re.compile(r"(?:.*/)?(s(\d\d)s(\d\d)/(\d\d)/(\d\d\d))/skeleton_pos\.txt", re.DOTALL)
_BODIES, _JOINTS = 2, 15
# What stands in the file is (1280 - X) / 2560, (960 - Y) / 1920 and Z * 7.8125 / 10000, with X, Y, Z in mm.
_SCALE, _OFFSET = np.array([-2560.0, -1920.0, 10000 / 7.8125]), np.array([1280.0, 960.0, 0.0])
_METRES = 0.001
FOLDS = (  # test pairs: s01s02 is 102
    (102, 304, 502, 604),
    (203, 207, 305, 503),
    (103, 107, 701, 703),
    (201, 206, 302, 306),
    (402, 403, 406, 602, 603),
)
_FOLD = {pair: number for number, pairs in enumerate(FOLDS, 1) for pair in pairs}


def _sample(source: Source, name: str, first: int, second: int, action: int, repetition: int) -> Sample:
    pair = 100 * first + second
    if pair not in _FOLD or not 1 <= action <= len(SBU.classes):
        raise ClipError(f"{source}: expected one of the 21 pairs and action 1 to 8, found {name}")
    table = tables.read(source, 1 + _BODIES * _JOINTS * 3, ",")
    joints = (table[:, 1:].reshape(-1, _BODIES, _JOINTS, 3) * _SCALE + _OFFSET) * _METRES
    clip = from_joints(name, joints.swapaxes(0, 1), str(source))
    columns = {"label": action - 1, "subject": pair, "replication": repetition, "fold": _FOLD[pair]}
    return Sample(clip, columns)


SBU = DataSet(
    name="sbu",
    title="SBU Kinect Interaction",
    layout="sbu15",
    classes=(
        *("approaching", "departing", "kicking", "pushing", "shaking hands", "hugging"),
        *("exchanging objects", "punching"),
    ),
    protocols={
        f"fold{fold}": Protocol("fold", tuple(other for other in range(1, 6) if other != fold))
        for fold in range(1, 6)
    },
    clip_count=282,
    counts={
        "fold1": (227, 55),
        "fold2": (230, 52),
        "fold3": (226, 56),
        "fold4": (228, 54),
        "fold5": (217, 65),
    },
    columns=("subject", "replication", "fold"),
    samples=partial(one_a_file.samples, wanted=_FILE, what="skeleton_pos.txt", read=_sample),
    takes=_FILE.fullmatch,
)
