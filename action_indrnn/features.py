"""Features made of joints on the way into a network, frame by frame, so that a stream needs no window.

Shapes: `T` frames, `B` clips in a batch, `M` bodies, `V` joints, `L` lines, `F` features; sequences are
time-major.
"""

import torch
from torch import Tensor, nn

JOINTS = 25  # of a Kinect v2 body, as NTU RGB+D numbers them

# Pairs of joints, numbered from 1 as the data set does: limbs; five pairs two limbs apart; any two of the
# ankles, the head, the right hand and, where the left hand (8) would be expected, the left shoulder (5).
# Source: Zhang et al., WACV 2017, in the order of Sunnydreamrain/IndRNN_pytorch, so that its weights fit.
LINES = (
    *((4, 3), (3, 21), (21, 2), (2, 1)),
    *((21, 9), (9, 10), (10, 11), (11, 12), (12, 24), (12, 25)),
    *((21, 5), (5, 6), (6, 7), (7, 8), (8, 22), (8, 23)),
    *((1, 17), (17, 18), (18, 19), (19, 20)),
    *((1, 13), (13, 14), (14, 15), (15, 16)),
    *((19, 17), (12, 9), (15, 13), (5, 8), (4, 2)),
    *((19, 15), (19, 4), (19, 12), (19, 5), (15, 4), (15, 12), (15, 5), (4, 12), (4, 5), (12, 5)),
)
DISTANCES = len(LINES) * (JOINTS - 2)  # of a body: each line with every joint that is not on it

_SHORTEST = 1e-5  # metres, added to a line's length as in the original: a limb of no length gives 0
TINY = 2.0**-50  # metres; its square under the root keeps the gradient finite where a distance is 0
_AT_ONCE = 256  # bodies: what then lies between two operations fits a core's cache, twice as fast


class JointLineDistances(nn.Module):
    """The distances of a body's joints to the lines through pairs of its joints, put in front of the joints.

    A distance is |(p0 - p1) x (p2 - p1)| / |p2 - p1|: Heron's formula, which the original takes in half
    precision, loses every digit where the three joints are nearly in line.

    Args:
        features: F, joints of M bodies after one another, three coordinates each.

    Raises:
        ValueError: the features are not whole bodies of 25 joints.
    """

    start: Tensor
    end: Tensor
    others: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bodies, rest = divmod(features, 3 * JOINTS)
        if rest or not self.bodies:
            raise ValueError(
                f"model.geometry: expected bodies of {JOINTS} joints in 3 coordinates, {3 * JOINTS} features "
                f"each, found {features} features"
            )
        self.features = features + DISTANCES * self.bodies
        lines = torch.tensor(LINES) - 1
        others = [[joint for joint in range(JOINTS) if joint not in line] for line in lines.tolist()]
        self.register_buffer("start", lines[:, 0], persistent=False)  # (L,)
        self.register_buffer("end", lines[:, 1], persistent=False)  # (L,)
        self.register_buffer("others", torch.tensor(others), persistent=False)  # (L, V - 2)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (T, B, 897 M + F): the distances, bodies within joints within lines; then x itself."""
        bodies = x.reshape(-1, JOINTS, 3)
        small = x.is_cpu and not torch.compiler.is_compiling()
        parts = torch.split(bodies, _AT_ONCE) if small else (bodies,)
        distances = torch.cat([self._distances(part) for part in parts])  # (T * B * M, 897)
        distances = distances.view(*x.shape[:2], self.bodies, DISTANCES).transpose(2, 3)
        return torch.cat((distances.flatten(2), x), dim=2)

    def _distances(self, bodies: Tensor) -> Tensor:
        """Returns (N, 897) for bodies (N, V, 3)."""
        joints = bodies.permute(2, 1, 0).contiguous()  # (3, V, N), so that a line's joints are whole rows
        start = joints[:, self.start]
        line = joints[:, self.end] - start
        length = line.square().sum(dim=0).clamp_min(TINY**2).sqrt()
        u, v, w = (line / (length + _SHORTEST))[:, :, None]  # (L, 1, N)
        x, y, z = joints[:, self.others] - start[:, :, None]  # (L, V - 2, N)
        square = (y * w - z * v).square() + (z * u - x * w).square() + (x * v - y * u).square()
        distances: Tensor = square.clamp_min(TINY**2).sqrt() - TINY  # (L, V - 2, N)
        return distances.flatten(0, 1).T


def one_more(x: Tensor, before: Tensor | None, reverse: bool) -> tuple[Tensor, slice, slice]:
    """Returns x with the frame before it, (T + 1, B, F); where x is in it, and where the frames before.

    Args:
        x: frames.
        before: the frame (B, F) that x goes on from, if there is one; zeros if not.
        reverse: whether time is walked from the last frame to the first, so that before stands behind.
    """
    if before is None:
        before = torch.zeros_like(x[0])
    early, late = slice(None, -1), slice(1, None)
    if reverse:
        return torch.cat((x, before[None])), early, late
    return torch.cat((before[None], x)), late, early


class TimeDifference(nn.Module):
    """Every frame with its change since the frame before beside it; before the first stands 0.

    The state is the last frame. The paper's feature augmentation: arXiv 1910.06251, section on NTU RGB+D.

    Args:
        units: width of a frame.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units
        self.reverse = False

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns (T, B, 2 units), x and its change, and the frame to go on from (B, units)."""
        frames, _, then = one_more(x, before, self.reverse)
        return torch.cat((x, x - frames[then]), dim=2), x[0 if self.reverse else -1]
