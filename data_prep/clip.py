"""The clip: what every step from the parser to the recogniser hands on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Clip:
    """One recorded action, its actors ranked, on the recording's true frame numbers.

    Attributes:
        name: the recording's name without folder and suffix.
        joints: (M, T, V, C) float32, metres; an absent body's joints are 0.
        present: (M, T) bool, whether the body was seen in the frame.
    """

    name: str
    joints: Floats
    present: Bools

    def __post_init__(self) -> None:
        """Check that the two arrays belong together."""
        if self.joints.ndim != 4 or self.joints.shape[:2] != self.present.shape:
            raise ValueError(
                f"{self.name}: expected joints (M, T, V, C) and present (M, T), "
                f"found {self.joints.shape} and {self.present.shape}"
            )


COORDINATE_LIMIT = 100.0  # metres; a sensor sees about 8, so anything beyond is another unit or damage


def from_joints(name: str, joints: NDArray[np.floating], source: str, present: Bools | None = None) -> Clip:
    """The clip of joints in which a body's frame of nothing but zeros means that nobody was seen.

    Args:
        name: the clip's.
        joints: (M, T, V, C), metres; bodies that are never seen are left out.
        source: where they came from, as errors name it.
        present: (M, T), where it is known who was seen: then zeros mean nothing, and all bodies stay.

    Raises:
        ClipError: nobody in any frame, not finite, not metres.
    """
    if not (np.abs(joints) <= COORDINATE_LIMIT).all():
        worst = joints.ravel()[np.argmax(~(np.abs(joints.ravel()) <= COORDINATE_LIMIT))]
        raise ClipError(f"{source}: expected metres within +-{COORDINATE_LIMIT:g}, found {worst:g}")
    if present is not None:
        return Clip(name, np.where(present[..., None, None], joints, 0).astype(np.float32), present)
    present = (joints != 0).any(axis=(2, 3))
    bodies = present.any(axis=1)
    if not bodies.any():
        raise ClipError(f"{source}: expected a body, found none in {joints.shape[1]} frames")
    return Clip(name, joints[bodies].astype(np.float32), present[bodies])


class ClipError(ValueError):
    """A recording that cannot become a clip; the message names the file and, where there is one, the line."""


def printable(text: str) -> str:
    """A name as one line of letters: what a screen would obey, not show, is written as an escape."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
