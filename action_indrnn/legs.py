"""Legs that a tracker took for each other, put back on the way into a network, frame by frame.

Shapes: `T` frames, `B` clips in a batch, `M` bodies, `V` joints, `F` features; sequences are time-major.
"""

import torch
from torch import Tensor, nn

from action_indrnn.data_prep.layout import Legs


class Uncross(nn.Module):
    """Swaps a body's legs, from the knees down, where its knees stand on the wrong sides of its hips.

    That is where the line from the left to the right knee points against that of the hips. A body without one
    of the four joints, which is then at 0, stays as it is.

    Args:
        features: F, joints of M bodies after one another, three coordinates each.
        joints: V of a body.
        legs: which of them are hips, knees and all below.
    """

    ends: Tensor
    swapped: Tensor

    def __init__(self, features: int, joints: int, legs: Legs) -> None:
        super().__init__()
        self.bodies = features // (3 * joints)
        self.joints = joints
        self.legs = legs
        swapped = torch.arange(joints)
        for left, right in legs.swapped:
            swapped[left], swapped[right] = right, left
        self.register_buffer("ends", torch.tensor((*legs.hips, *legs.knees)), persistent=False)  # (4,)
        self.register_buffer("swapped", swapped, persistent=False)  # (V,)

    def forward(self, x: Tensor) -> Tensor:
        """Returns x (T, B, F) with the legs where they belong."""
        bodies = x.reshape(*x.shape[:-1], self.bodies, self.joints, 3)
        four = bodies[..., self.ends, :]  # (T, B, M, 4, 3)
        lines = four[..., ::2, :] - four[..., 1::2, :]  # of the hips, of the knees
        wrong = (lines[..., 0, :] * lines[..., 1, :]).sum(dim=-1) < 0
        wrong &= (four != 0).any(dim=-1).all(dim=-1)
        return torch.where(wrong[..., None, None], bodies[..., self.swapped, :], bodies).view(x.shape)
