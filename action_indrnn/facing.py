"""Clips turned to the camera by all poses so far.

`data.align` turns a clip by the pose in which the main actor is first seen. There a tracker may be wrong or a
person half turned; the mean over the steps so far soon is not.

Shapes: `T` frames, `B` clips in a batch, `F` features; sequences are time-major.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from action_indrnn import processes


class Facing(nn.Module):
    """Every step turned about the vertical until the main actor's mean line across so far lies along x.

    The line runs from joints on the left to those on the right. Where the main actor, the first body, is not
    there the mean stays; before it was ever there nothing is turned. The state is the sum of lines, x and z.
    In training a clip is then turned at random, or the network would rely on a direction that is never sure.

    Args:
        joints: V of a body.
        across: joints on the left, each with one on the right.
        rotation: largest angle at random, degrees.

    Attributes:
        units: numbers in the state.
        across: (2, L), those on the left and those on the right.
        reverse: whether time is walked from the last step to the first.
    """

    across: Tensor

    def __init__(self, joints: int, across: Sequence[tuple[int, int]], rotation: float = 0.0) -> None:
        super().__init__()
        self.rotation = rotation
        self.units = 2
        self.joints = joints
        self.reverse = False
        self.register_buffer("across", torch.tensor(across, dtype=torch.long).t(), persistent=False)

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns x (T, B, F), turned, and the sum to go on from (B, 2); bodies stand after one another."""
        main = x[..., : 3 * self.joints].reshape(*x.shape[:2], -1, 3)  # (T, B, V, 3)
        left, right = self.across
        lines = (main[:, :, right] - main[:, :, left]).mean(dim=2)[..., ::2]  # (T, B, 2)
        sums = lines.flip(0).cumsum(dim=0).flip(0) if self.reverse else lines.cumsum(dim=0)
        if before is not None:
            sums = sums + before
        length = torch.linalg.vector_norm(sums, dim=2, keepdim=True)
        towards = torch.where(length > 0, sums / length, sums.new_tensor([1.0, 0.0]))
        cos, sin = towards[..., :1], towards[..., 1:]  # (T, B, 1)
        if self.training and self.rotation:
            cos, sin = self._further(cos, sin)
        along, up, away = x.reshape(*x.shape[:2], -1, 3).unbind(3)  # (T, B, P)
        turned = torch.stack((cos * along + sin * away, up, cos * away - sin * along), dim=3)
        return turned.flatten(2), sums[0 if self.reverse else -1]

    def _further(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (T, B, 1) of angles by one at random more for each clip."""
        every = cos.shape[1] * processes.count()  # all draw all, as dropout does
        drawn = torch.rand(every, 1, device=cos.device)[processes.share(every)]
        angle = math.radians(self.rotation) * (2 * drawn - 1)
        more, aside = angle.cos().to(cos.dtype), angle.sin().to(cos.dtype)
        return cos * more - sin * aside, sin * more + cos * aside

    def extra_repr(self) -> str:
        """Returns what `print(model)` shows of this layer."""
        return f"rotation={self.rotation:g}"
