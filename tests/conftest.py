"""What several tests build on: `.skeleton` text of chosen bodies, and a small made set."""

import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import is_hypothesis_test, settings

from action_indrnn.data_prep import archive, catalogue, made, preprocess
from action_indrnn.data_prep.archive import PreparedSet

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, help="How many problems each property is held against.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    count = config.getoption("--examples")
    for item in items:
        test = getattr(item, "obj", None)
        if count and is_hypothesis_test(test):
            test._hypothesis_internal_use_settings = settings(
                test._hypothesis_internal_use_settings, max_examples=count, database=None
            )


Body = tuple[int, np.ndarray]  # id, joints (25, 3)


def person(x: float = 0.0, y: float = 0.0, z: float = 3.0) -> np.ndarray:
    """(25, 3) joints, metres: a body taller than wide, its mid-spine at (x, y, z), facing the camera."""
    number = np.arange(25)
    joints = np.stack([0.01 * number, 0.06 * number, 0.005 * number], axis=1)
    for left, right in ((4, 8), (12, 16)):
        joints[left], joints[right] = (-0.2, 1.0, 0.0), (0.2, 1.0, 0.0)
    return joints - joints[1] + (x, y, z)


def skeleton_text(frames: Sequence[Sequence[Body]], end: str = "\n", state: int = 2) -> bytes:
    """A `.skeleton` file of the given bodies in every frame."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body_id, joints in bodies:
            lines += [f"{body_id} 0 1 1 1 1 0 0.1 -0.2 2", str(len(joints))]
            lines += [
                f"{x!r} {y!r} {z!r} 250.1 200.2 900.3 500.4 0.5 0.5 0.5 0.5 {state}"
                for x, y, z in joints.tolist()
            ]
    return (end.join(lines) + end).encode()


@pytest.fixture(scope="session")
def made_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 made recordings: 4 subjects, 5 actions, 3 cameras, 1 replication."""
    folder = tmp_path_factory.mktemp("made")
    for setup, camera, subject, replication, action in made.names(subjects=4, replications=1):
        if action <= 4 or action == max(made.TWO_PERSON):
            clip = made.clip(setup, camera, subject, replication, action)
            (folder / f"{clip.name}.skeleton").write_bytes(made.to_text(clip))
    return folder


@pytest.fixture(scope="session")
def made_set(made_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """The prepared set of `made_raw`."""
    out = tmp_path_factory.mktemp("prepared") / "set"
    preprocess.preprocess(catalogue.find("made"), [made_raw], out)
    return archive.read(out)
