"""Florence 3D Actions (Seidenari et al., CVPR Workshops 2013): 215 clips, 9 classes, 10 subjects, 15 joints.

One MATLAB file, `skeletal_data.mat`: a cell array of structs with `original_skeletal_data` (3, 15, T),
metres, axes x, depth, up; `subject`; `action`. The ten half splits are those of the file `tr_te_splits.mat`
in circulation.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_indrnn.data_prep import matlab, sources
from action_indrnn.data_prep.clip import ClipError, from_joints
from action_indrnn.data_prep.data_set import DataSet, Left, Sample
from action_indrnn.data_prep.protocols import Protocol

_FILE = re.compile(r"(?:.*/)?skeletal_data\.mat", re.DOTALL)
_JOINTS = 15
_AXES = (0, 2, 1)  # of x, depth, up in x, up, depth
_HALVES = (  # training subjects
    (3, 4, 5, 6, 10),
    (1, 3, 5, 9, 10),
    (1, 2, 4, 6, 9),
    (2, 3, 6, 8, 10),
    (3, 4, 6, 7, 9),
    (1, 2, 6, 8, 10),
    (1, 2, 6, 7, 10),
    (1, 3, 5, 6, 8),
    (2, 3, 6, 9, 10),
    (1, 2, 6, 9, 10),
)

_CLIPS = (29, 18, 21, 19, 20, 22, 19, 24, 20, 23)  # of each subject


def _count(half: tuple[int, ...]) -> tuple[int, int]:
    """Training and test clips of a half split."""
    train = sum(_CLIPS[subject - 1] for subject in half)
    return train, sum(_CLIPS) - train


def _samples(raw: Sequence[Path]) -> Iterator[Sample | Left]:
    for source in sources.find(raw, _FILE, "skeletal_data.mat"):
        cells = matlab.read(source.read(), str(source)).get("skeletal_data")
        if not isinstance(cells, list):
            raise ClipError(f"{source}: expected a cell array 'skeletal_data', found none")
        for number, cell in enumerate(cells, 1):
            name = f"clip{number:03}"
            try:
                yield _sample(name, cell, f"{source}: cell {number}")
            except ClipError as error:
                yield Left(name, str(source), str(error))


def _sample(name: str, cell: Any, source: str) -> Sample:
    try:
        (fields,) = cell
        joints = np.asarray(fields["original_skeletal_data"], np.float64)
        subject, action = int(fields["subject"].item()), int(fields["action"].item())
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ClipError(f"{source}: expected original_skeletal_data, subject, action: {error}") from error
    if joints.ndim != 3 or joints.shape[:2] != (3, _JOINTS):
        raise ClipError(f"{source}: expected joints (3, {_JOINTS}, T), found {joints.shape}")
    if not (1 <= subject <= 10 and 1 <= action <= len(FLORENCE3D.classes)):
        raise ClipError(f"{source}: expected subject 1 to 10 and action 1 to 9, found {subject} and {action}")
    clip = from_joints(name, joints[_AXES, :, :].transpose(2, 1, 0)[None], source)
    return Sample(clip, {"label": action - 1, "subject": subject})


FLORENCE3D = DataSet(
    name="florence3d",
    title="Florence 3D Actions",
    layout="florence15",
    classes=(
        *("wave", "drink", "answer phone", "clap", "tight lace", "sit down", "stand up", "read watch"),
        "bow",
    ),
    protocols={f"half{number}": Protocol("subject", half) for number, half in enumerate(_HALVES, 1)},
    clip_count=sum(_CLIPS),
    counts={f"half{number}": _count(half) for number, half in enumerate(_HALVES, 1)},
    columns=("subject",),
    samples=_samples,
    takes=_FILE.fullmatch,
)
