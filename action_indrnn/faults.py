"""Clips as a worse sensor or a left-handed person would have given them: what a network is worth there."""

import zlib
from dataclasses import astuple, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from action_indrnn import augment
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dataset import Clips, Integers

_MIRROR = 1  # what a number is for


@dataclass(frozen=True)
class Faults:
    """What is otherwise in recordings, as shares from 0 to 1.

    Attributes:
        glitch: of the bodies, that lose a joint, with all that hangs on it, for up to half of the clip; see
            `augment.glitch`.
        absence: of the clips, in which nobody, or one of several bodies less, is seen for up to half of the
            clip; see `augment.absence`.
        swap: of the clips, in which each body's left and right joints are taken for each other in the frame
            where it is first seen, as by a tracker that finds it anew.
        mirror: of the clips, that become their mirror images, as of somebody who does with the left hand what
            others do with the right one.

    Raises:
        ValueError: a share below 0 or above 1.
    """

    glitch: float = 0.0
    absence: float = 0.0
    swap: float = 0.0
    mirror: float = 0.0

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: expected a share from 0 to 1, found {share:g}")

    def __bool__(self) -> bool:
        return any(astuple(self))

    def __str__(self) -> str:
        words = (
            f"joints lost in {self.glitch:.0%} of the bodies",
            f"people lost in {self.absence:.0%} of the clips",
            f"left and right swapped at first in {self.swap:.0%} of the clips",
            f"mirror images in {self.mirror:.0%} of the clips",
        )
        return " and ".join(text for text, share in zip(words, astuple(self), strict=True) if share)

    def shares(self) -> dict[str, float]:
        """Those that are not 0, by name."""
        return {name: share for name, share in vars(self).items() if share}

    def mirrored(self, name: str, seed: int = 0) -> bool:
        """Whether a clip of this name becomes its mirror image."""
        return np.random.default_rng([seed, zlib.crc32(name.encode()), _MIRROR]).random() < self.mirror

    def of(self, clips: Clips, numbers: Integers, layout: Layout, seed: int = 0) -> Clips:
        """The same clips with faults.

        They happen in what was recorded, before a clip is placed, turned and sampled. A clip's own numbers
        follow from the seed and its name.

        Args:
            clips: as a prepared set has them.
            numbers: (N,) of which it happens to.
            layout: of their joints.
            seed: of who loses what.

        Raises:
            ValueError: mirror images are asked for of a layout without pairs.
        """
        if self.mirror and not layout.pairs:
            raise ValueError(
                f"mirror: expected left and right joints, found none in the layout {layout.name}"
            )
        rows = clips.rows.clone()
        limbs = augment.limbs_of(len(layout.joints), layout.bones)
        other = augment.mirrored_joints(len(layout.joints), layout.pairs)
        for number in numbers.tolist():
            start, length, bodies = (
                int(column[number]) for column in (clips.start, clips.length, clips.bodies)
            )
            own = slice(start, start + bodies * length)  # body after body
            frames = (
                clips.rows[own].view(bodies, length, *clips.rows.shape[1:]).transpose(0, 1)
            )  # (T, M, V, 3)
            random = np.random.default_rng([seed, zlib.crc32(clips.names[number].encode())])
            found = self._of_one(frames, limbs, random)
            if random.random() < self.swap:
                found = _swapped_at_first(found, other)
            if self.mirrored(clips.names[number], seed):
                flat = found.reshape(length, 1, -1)
                found = augment.mirror(flat, torch.zeros(1), 1.0, other).view(found.shape)
            rows[own] = found.transpose(0, 1).flatten(0, 1)
        return replace(clips, rows=rows)

    def _of_one(self, frames: Tensor, limbs: Tensor, random: np.random.Generator) -> Tensor:
        """One clip's frames (T, M, V, 3) with faults; NaN where nobody is seen."""
        length, bodies = frames.shape[:2]
        uniform = torch.from_numpy(random.random((1, bodies, 4)))
        normal = torch.from_numpy(random.standard_normal((length + 1, 1, bodies, 3), np.float32))
        flat = augment.glitch(frames.reshape(length, 1, -1), uniform, normal, self.glitch, limbs)
        drawn = torch.from_numpy(random.random((1, 4)))
        seen = augment.absence(torch.ones_like(flat), drawn, self.absence, bodies) != 0
        return flat.masked_fill(~seen, torch.nan).view(frames.shape)


def _swapped_at_first(frames: Tensor, other: Tensor) -> Tensor:
    """Frames (T, M, V, 3) with each joint in its mirror image's place where a body is first seen."""
    found = frames.clone()
    for body in range(frames.shape[1]):
        for frame in (~frames[:, body, 0, 0].isnan()).nonzero()[:1, 0]:
            found[frame, body] = frames[frame, body, other]
    return found
