"""Made clips: procedural people in the `.skeleton` format of NTU RGB+D, and the truth behind them.

A made set needs no licence and no download; its answers are known by construction. Only the format and the
naming (setup, camera, performer, replication, action) are NTU's. Shapes: `T` frames, `n` frames of one body,
25 joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from action_indrnn.data_prep import pool
from action_indrnn.data_prep.folders import NewFolder
from action_indrnn.data_prep.made_motion import (
    CLASSES,
    FRAME_RATE,
    PARENTS,
    SECONDS,
    STEP_TOGETHER,
    TWO_PERSON,
    Array,
    actor,
    minimum_jerk,
    performer,
    rotation,
)
from action_indrnn.data_prep.made_sensor import MadeBody, bodies, to_camera

__all__ = ["CLASSES", "TWO_PERSON", "MadeBody", "MadeClip", "clip", "names", "to_text", "write"]

Name = tuple[int, int, int, int, int]  # setup, camera, subject, replication, action

SETUPS = 4
_CHUNK = 24  # clips a process writes at a time
_SWAPPED = 0.25  # share of clips with several bodies in which the order inside a frame changes once
_LEAVES = (3, 15, 19, 21, 22, 23, 24)  # joints without an orientation

# focal length, centre x and centre y in pixels of the depth image (512x424) and the colour image (1920x1080)
_DEPTH, _COLOUR = (365.0, 257.0, 208.5), (1060.0, 975.0, 567.0)

_HEADER = "%d 0 1 1 1 1 0 %.7g %.7g 2\r\n25\r\n"
_JOINT = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g %.7g %.7g %.7g %.7g %d\r\n"
_LEAF = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 %d\r\n"
_BODY = _HEADER + "".join(_LEAF if joint in _LEAVES else _JOINT for joint in range(25))


@dataclass(frozen=True)
class MadeClip:
    """One made clip.

    Attributes:
        name: as in `S001C001P001R001A001`.
        frame_count: `T`, at 30 frames a second.
        actors: the clean truth (T, 25, 3) of each actor, metres in camera coordinates; the subject first.
        bodies: what the sensor reports; an actor may own several body ids and miss frames.
        swap: from this frame on the bodies of a frame stand in reversed order, if not None.
    """

    name: str
    frame_count: int
    actors: tuple[Array, ...]
    bodies: tuple[MadeBody, ...]
    swap: int | None = None


@lru_cache(maxsize=8)
def _performance(setup: int, subject: int, replication: int, action: int, seed: int) -> tuple[Array, ...]:
    """The joints (T, 25, 3) of each actor, the subject first, in a scene facing +z: all cameras see it."""
    rng = np.random.default_rng([seed, 2, setup, subject, replication, action])
    people = [performer(subject, seed)]
    if action in TWO_PERSON:
        people.append(performer(subject - 1 if subject > 1 else 2, seed))
    before, after = int(rng.integers(5, 16)), int(rng.integers(4, 13))
    length = max(16.0, SECONDS[action - 1] * FRAME_RATE / people[0].tempo * rng.uniform(0.9, 1.12))
    frames = int(np.clip(round(before + length + after), 30, 70))
    clock = np.arange(frames, dtype=np.float64)
    place, jitter = rng.normal(0.0, 0.08, 2), np.deg2rad(rng.uniform(-10.0, 10.0))
    near, far, left = rng.uniform(0.7, 1.0), rng.uniform(1.5, 2.3), rng.choice([-1.0, 1.0])
    actors = []
    for k, who in enumerate(people):
        start = before + (rng.uniform(-3.0, 3.0) if k else 0.0)
        end = min(start + length * (rng.uniform(0.9, 1.1) if k else 1.0), frames - 3.0)
        way, yaw = np.zeros(frames), jitter
        if action in TWO_PERSON:  # face to face across the scene
            ends = np.array([-far, -near] if action == STEP_TOGETHER else [-near, -far])
            way = minimum_jerk(clock, np.array([start, end]), 0.5 * ends)
            yaw += 0.5 * np.pi * left * (1.0 - 2.0 * k)
        joints = actor(who, action, start, end, way, rng) @ rotation(1, np.array([yaw]))[0].T
        joints += np.array([place[0], 0.0, place[1]])
        joints.setflags(write=False)
        actors.append(joints)
    return tuple(actors)


def clip(setup: int, camera: int, subject: int, replication: int, action: int, *, seed: int = 0) -> MadeClip:
    """The made clip of that name: a function of its arguments alone.

    The three cameras of a setup see one performance, each with its own noise, losses and clutter.

    Raises:
        ValueError: a number is out of range.
    """
    limits = {"setup": 999, "camera": 3, "subject": 999, "replication": 2, "action": len(CLASSES)}
    numbers = (setup, camera, subject, replication, action)
    for (word, limit), number in zip(limits.items(), numbers, strict=True):
        if not 1 <= number <= limit:
            raise ValueError(f"{word}: expected 1 to {limit}, found {number}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    scene = _performance(setup, subject, replication, action, seed)
    actors = tuple(to_camera(joints, setup, camera, replication, seed) for joints in scene)
    rng = np.random.default_rng([seed, 4, *numbers])
    seen = bodies(rng, actors)
    frames = len(actors[0])
    swap = int(rng.integers(1, frames)) if len(seen) > 1 and rng.random() < _SWAPPED else None
    return MadeClip(_name(*numbers), frames, actors, seen, swap)


def _name(setup: int, camera: int, subject: int, replication: int, action: int) -> str:
    return f"S{setup:03d}C{camera:03d}P{subject:03d}R{replication:03d}A{action:03d}"


def _orientations(joints: Array) -> Array:
    """Unit quaternions (n, 25, 4), w x y z: the turn of the y axis onto the bone that ends in the joint."""
    bone = joints - joints[:, PARENTS]
    bone[:, 0] = joints[:, 1] - joints[:, 0]
    bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
    turn = np.stack([1.0 + bone[..., 1], bone[..., 2], np.zeros(bone.shape[:2]), -bone[..., 0]], axis=-1)
    return np.asarray(turn / np.linalg.norm(turn, axis=-1, keepdims=True))


def _pixels(joints: Array, focal: float, across: float, down: float) -> Array:
    flat = focal * joints[..., :2] / joints[..., 2:]
    return np.stack([across + flat[..., 0], down - flat[..., 1]], axis=-1)


def _body_texts(body: MadeBody) -> Iterator[str]:
    """The lines of one body in each of its frames."""
    joints = body.joints.astype(np.float32).astype(np.float64)
    row = [joints, _pixels(joints, *_DEPTH), _pixels(joints, *_COLOUR), _orientations(joints)]
    columns = np.concatenate([*row, body.states[..., None]], axis=-1).reshape(len(joints), -1)
    kept = np.ones((25, 12), dtype=np.bool_)
    kept[_LEAVES, 7:11] = False
    spine = joints[:, 20] - joints[:, 0]
    lean = np.clip(spine[:, [0, 2]] / np.linalg.norm(spine, axis=-1, keepdims=True) * [1.0, -1.0], -1.0, 1.0)
    for numbers in np.concatenate([lean, columns[:, kept.ravel()]], axis=-1).tolist():
        yield _BODY % (body.body_id, *numbers)


def to_text(made: MadeClip) -> bytes:
    r"""The clip as a `.skeleton` file, with the format's `\r\n` line ends."""
    frames: list[list[str]] = [[] for _ in range(made.frame_count)]
    for body in made.bodies:
        for number, text in zip(body.frames.tolist(), _body_texts(body), strict=True):
            frames[number].append(text)
    if made.swap is not None:
        for texts in frames[made.swap :]:
            texts.reverse()
    parts = [f"{made.frame_count}\r\n"]
    for texts in frames:
        parts += [f"{len(texts)}\r\n", *texts]
    return "".join(parts).encode("ascii")


def names(subjects: int = 10, replications: int = 2) -> list[Name]:
    """The clips of a set as (setup, camera, subject, replication, action): every action, all three cameras.

    Odd subjects keep one setup; even ones change to the next in replication 2.
    """
    return [
        (
            1 + (subject - 1 + (replication - 1) * (1 - subject % 2)) % SETUPS,
            camera,
            subject,
            replication,
            action,
        )
        for subject in range(1, subjects + 1)
        for replication in range(1, replications + 1)
        for action in range(1, len(CLASSES) + 1)
        for camera in (1, 2, 3)
    ]


def _write_some(some: list[Name], out: Path, seed: int) -> int:
    """Writes these clips; the count."""
    for numbers in some:
        made = clip(*numbers, seed=seed)
        (out / f"{made.name}.skeleton").write_bytes(to_text(made))
    return len(some)


def write(
    out: Path,
    *,
    subjects: int = 10,
    replications: int = 2,
    seed: int = 0,
    workers: int = 0,
) -> int:
    """Writes a made set into the folder `out`; the number of clips.

    Args:
        out: a new folder; it appears when all clips are in it.
        subjects: performers, 1 to this number.
        replications: 1 or 2.
        seed: another seed is another set of people and performances.
        workers: processes; 0 for one a core, 1 to stay in this process.

    Raises:
        ValueError: `out` is taken, or a number is out of range.
    """
    if not (1 <= subjects <= 999 and 1 <= replications <= 2):
        raise ValueError(
            f"expected 1 to 999 subjects and 1 or 2 replications, found {subjects} and {replications}"
        )
    everything = names(subjects, replications)
    chunks = [everything[first : first + _CHUNK] for first in range(0, len(everything), _CHUNK)]
    processes = min(workers or pool.cores(), len(chunks))
    with NewFolder(out) as folder:
        task = partial(_write_some, out=folder.path, seed=seed)
        bar = tqdm(total=len(everything), desc="make-data", unit=" clips", disable=None)
        with bar, closing(pool.ordered_map(task, chunks, processes)) as counts:
            for count in counts:
                bar.update(count)
        folder.finish()
    return len(everything)
