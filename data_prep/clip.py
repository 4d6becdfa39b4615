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


class ClipError(ValueError):
    """A recording that cannot become a clip; the message names the file and, where there is one, the line."""
