"""Clips varied at random, whole batches at once on whatever device holds them.

Shapes: `S` sampled frames, `B` clips in a batch, `F` features, `P` points of a frame.
"""

import math

import torch
from torch import Tensor

NUMBERS = 4  # random numbers of a clip: an angle about each axis, a size


def vary(x: Tensor, uniform: Tensor, rotation: float, scaling: float) -> Tensor:
    """Clips turned and resized about the origin, each as a whole: (S, B, F).

    The origin is the main actor's mid-spine in the first frame; absent bodies, zeros, stay zeros.

    Args:
        x: (S, B, F), every three features a point.
        uniform: (B, 4) random numbers in [0, 1), on x's device.
        rotation: largest angle about each axis, degrees; first about x, then y, then z.
        scaling: largest relative change of size.
    """
    spread = 2 * uniform - 1
    zero, one = torch.zeros_like(spread[:, 0]), torch.ones_like(spread[:, 0])
    turn = torch.eye(3, dtype=uniform.dtype, device=x.device)
    for axis in range(3):
        angle = math.radians(rotation) * spread[:, axis]
        cos, sin = angle.cos(), angle.sin()
        rows = [one, zero, zero, zero, cos, -sin, zero, sin, cos]  # about the first axis
        matrix = torch.stack(rows, dim=1).view(-1, 3, 3).roll((axis, axis), (1, 2))  # about this one
        turn = matrix @ turn
    turn = turn * (1 + scaling * spread[:, 3]).view(-1, 1, 1)
    points = x.view(*x.shape[:2], -1, 3)  # (S, B, P, 3)
    return (points @ turn.to(x.dtype).transpose(1, 2)).view(x.shape)
