"""Clips to batches: the split of a prepared set, the frame sampler, the feature vectors.

Shapes: N clips of a set, B clips in a batch, S sampled frames, M actors, V joints, C coordinates, F = M*V*C
features.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from action_indrnn.data_prep import protocols
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.bodies import MOST_ACTORS
from action_indrnn.data_prep.clip import Clip, Floats

Integers = NDArray[np.int64]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Split:
    """Clip numbers (lines of the index) of a protocol; the three do not overlap.

    Attributes:
        train: clips to fit.
        validation: clips to choose the model by, taken from the protocol's training clips.
        test: clips that nothing is chosen by.
        held_out: how the validation clips were chosen, in words.
    """

    train: Integers
    validation: Integers
    test: Integers
    held_out: str


def split(
    prepared: PreparedSet,
    protocol: str,
    *,
    validation: Literal["subjects", "clips"] = "subjects",
    share: float = 0.05,
    seed: int = 0,
) -> Split:
    """The split of a prepared set under a protocol.

    Args:
        prepared: a prepared set; its `meta.toml` holds the protocols.
        protocol: one of them, or a rule as `fold=1`; see `data_prep.protocols`.
        validation: "subjects" holds out whole training subjects, so that validation asks what a cross-subject
            test asks; "clips" holds out random clips, as the original IndRNN code does.
        share: the part of the training subjects or clips to hold out, at least one.
        seed: which subjects or clips.

    Raises:
        ValueError: no such protocol, or too few subjects or clips to hold any out.
    """
    try:
        roles = protocols.roles(prepared.index, prepared.meta["protocols"], protocol)
    except ValueError as error:
        raise ValueError(f"{prepared.path}: {error}") from error
    train, test = np.flatnonzero(roles == protocols.TRAIN), np.flatnonzero(roles == protocols.TEST)
    for part, clips in (("training", train), ("test", test)):
        if not clips.size:
            raise ValueError(f"{prepared.path}: {protocol}: expected {part} clips, found none")
    groups = prepared.column("subject")[train] if validation == "subjects" else train
    values = np.unique(groups)
    count = max(1, round(share * len(values)))
    if count >= len(values):
        raise ValueError(
            f"{prepared.path}: {protocol}: expected more than {count} training {validation} to hold out "
            f"{count}, found {len(values)}"
        )
    chosen = np.sort(np.random.default_rng([seed, 0]).permutation(values)[:count])
    held = np.isin(groups, chosen)
    words = f"subjects {', '.join(map(str, chosen))}" if validation == "subjects" else f"{count} random clips"
    return Split(train[~held], train[held], test, words)


def sample_frames(lengths: Integers, frames: int, uniform: NDArray[np.float64]) -> Integers:
    """Frame numbers to take from clips, by the rule of IndRNN_pytorch (action_recognition/data_reader.py).

    A clip of at least 2S frames is cut into S equal segments and one frame is drawn from each (the last takes
    the remainder); a shorter one gives a random window of S consecutive frames; one of at most S frames is
    laid into zeros from a random start, which may push its end, or a random part of it, out of the window.

    Args:
        lengths: (B,) frames of each clip.
        frames: S, how many to take.
        uniform: (B, S + 1) random numbers in [0, 1).

    Returns:
        (B, S) frame numbers, -1 for a frame of zeros.
    """
    length = lengths[:, None]  # (B, 1)
    place = np.arange(frames)[None]  # (1, S)
    segment = length // frames
    width = np.where(place == frames - 1, length - segment * (frames - 1), segment)
    segments = place * segment + np.floor(uniform[:, :frames] * width).astype(np.int64)

    first = np.floor(uniform[:, :1] * (length - frames + 1)).astype(np.int64)
    window = first + place

    start = np.floor(uniform[:, :1] * np.maximum(np.maximum(frames - length, frames // 4), 1)).astype(
        np.int64
    )
    over = np.maximum(start + length - frames, 0)
    skip = np.floor(uniform[:, -1:] * (over + 1)).astype(np.int64)
    at = place - start + skip
    laid = np.where((place >= start) & (at < length), at, -1)

    return np.where(length >= 2 * frames, segments, np.where(length > frames, window, laid))


@dataclass(frozen=True)
class Clips:
    """Clips as rows of joints, from a prepared set or from single recordings.

    Attributes:
        names: N clip names.
        rows: (R, V, C) float32, metres, NaN where an actor was not seen; see `data_prep.archive`.
        start, length, bodies: (N,) first row, frames and actors of each clip.
    """

    names: Sequence[str]
    rows: Floats
    start: Integers
    length: Integers
    bodies: Integers

    @classmethod
    def of_set(cls, prepared: PreparedSet) -> "Clips":
        """All clips of a prepared set, memory-mapped."""
        names = prepared.index["name"].tolist()
        columns = (prepared.column(name) for name in ("start", "length", "bodies"))
        return cls(names, prepared.joints, *columns)

    @classmethod
    def of_clips(cls, clips: Sequence[Clip]) -> "Clips":
        """Normalised clips of one joint layout."""
        rows = [
            np.where(clip.present[..., None, None], clip.joints, np.float32(np.nan)).reshape(
                -1, *clip.joints.shape[2:]
            )
            for clip in clips
        ]
        counts = np.array([len(row) for row in rows], np.int64)
        shapes = np.array([clip.present.shape for clip in clips], np.int64)
        start = np.cumsum(counts) - counts
        return cls([clip.name for clip in clips], np.concatenate(rows), start, shapes[:, 1], shapes[:, 0])

    @property
    def features(self) -> int:
        """F, the numbers in one frame's feature vector."""
        return MOST_ACTORS * int(np.prod(self.rows.shape[1:]))

    def batch(self, numbers: Integers, frames: Integers) -> torch.Tensor:
        """Feature vectors of sampled frames.

        Args:
            numbers: (B,) clip numbers.
            frames: (B, S) frame numbers, -1 for a frame of zeros.

        Returns:
            (S, B, F) float32: actor 1's joints, then actor 2's, joint by joint; zeros where nobody was seen.
        """
        actors = np.arange(MOST_ACTORS)
        length, bodies = self.length[numbers, None, None], self.bodies[numbers, None, None]
        rows = self.start[numbers, None, None] + actors * length + frames[..., None]  # (B, S, M)
        valid = (actors < bodies) & (frames[..., None] >= 0)
        joints = self.rows[np.where(valid, rows, 0)]  # (B, S, M, V, C)
        joints[~valid] = 0
        np.nan_to_num(joints, copy=False, nan=0.0)
        batch, steps = frames.shape
        return torch.from_numpy(joints).reshape(batch, steps, -1).transpose(0, 1).contiguous()

    def uniform(self, numbers: Integers, passes: int, frames: int, seed: int) -> NDArray[np.float64]:
        """(passes, B, S + 1) random numbers for evaluation, each clip's own by its name.

        A clip's score then does not depend on which other clips are evaluated, or in what order.
        """
        generators = [
            np.random.default_rng([seed, zlib.crc32(self.names[number].encode())]) for number in numbers
        ]
        return np.stack([generator.random((passes, frames + 1)) for generator in generators], axis=1)
