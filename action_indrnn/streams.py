"""Streams of a skeleton on the way into a network: joints, bones, distances and their motion, frame by frame.

Shapes: `T` frames, `B` clips in a batch, `M` bodies, `V` joints, `E` bones, `P` pairs of joints,
`F` features; sequences are time-major.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from action_indrnn.features import TINY, one_more

_BONES = {"bone": "joint", "bone-motion": "motion"}  # each linear in other points, so made of these


class Streams(nn.Module):
    """Chosen streams beside each other in place of the joints.

    A bone is the way from its parent to its child joint, so the root has none. A distance is that between two
    ends, of one body or of two: an end is a joint where no bone begins, such as a hand, a foot or the head,
    or the root. Motion is the change since the frame before among the frames that the network sees, that is
    the sampled ones. Where a body is absent, distances to it are 0; where it is absent now or was before, and
    before the first frame, motion is 0, so that coming and going are no motion. A body whose joints are all 0
    is absent.

    The state is the last frame, so a stream of single frames gives what the whole clip gives.

    Args:
        features: F, joints of M bodies after one another, three coordinates each.
        names: of `config.StreamName`, in the order wanted.
        joints: V of a body.
        bones: (child, parent) joint numbers.

    Attributes:
        widths: numbers in a frame of each stream.
        width: of all together.
        units: numbers in a frame of the state.
        pairs: of ends, numbered through all bodies' joints, (P, 2); none if no distance is asked for.
        reverse: whether time is walked from the last frame to the first; then "before" is the frame after.

    Raises:
        ValueError: the features are not whole bodies, or bones are asked for where the layout has none.
    """

    child: Tensor
    parent: Tensor
    pairs: Tensor

    def __init__(
        self, features: int, names: Sequence[str], joints: int, bones: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        bodies, rest = divmod(features, 3 * joints) if joints else (0, features)
        if rest or not bodies:
            raise ValueError(
                f"data.streams: expected bodies of {joints} joints in 3 coordinates, "
                f"found {features} features"
            )
        if not bones and any(name.startswith(("bone", "distance")) for name in names):
            raise ValueError("data.streams: expected a joint layout with bones, found none")
        self.names = tuple(names)
        self.joints = joints
        self.units = features
        self.reverse = False
        far = any(name.startswith("distance") for name in names)
        ends = [body * joints + end for body in range(bodies) for end in _ends(joints, bones) if far]
        pairs = list(combinations(ends, 2))
        points, limbs = 3 * bodies * joints, 3 * bodies * len(bones)
        widths = {"joint": points, "bone": limbs, "distance": len(pairs)}
        widths |= {"motion": points, "bone-motion": limbs, "distance-motion": len(pairs)}
        self.widths = tuple(widths[name] for name in names)
        self.width = sum(self.widths)
        of_bones = torch.tensor(bones, dtype=torch.long).reshape(-1, 2)
        self.register_buffer("child", of_bones[:, 0].clone(), persistent=False)  # (E,)
        self.register_buffer("parent", of_bones[:, 1].clone(), persistent=False)  # (E,)
        between = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
        self.register_buffer("pairs", between, persistent=False)

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns (T, B, width), stream after stream, and the frame to go on from (B, F)."""
        frames, now, then = one_more(x, before, self.reverse)
        points = frames.reshape(len(frames), x.shape[1], -1, self.joints, 3)  # (T + 1, B, M, V, 3)
        seen = (points != 0).flatten(3).any(dim=3)  # (T + 1, B, M)
        both = seen[now] & seen[then]
        names = set(self.names)
        made: dict[str, Tensor] = {"joint": points[now]}
        if names & {"motion", "bone-motion"}:
            made["motion"] = torch.where(both[..., None, None], points[now] - points[then], 0)
        for name, origin in _BONES.items():
            if name in names:
                made[name] = self._bones(made[origin])
        if names & {"distance", "distance-motion"}:
            distances = self._distances(points)  # (P, T + 1, B)
            apart = torch.where(self._pairs_of(seen[now]), distances[:, now], 0)
            change = torch.where(self._pairs_of(both), distances[:, now] - distances[:, then], 0)
            made |= {"distance": apart.permute(1, 2, 0), "distance-motion": change.permute(1, 2, 0)}
        return torch.cat([made[name].flatten(2) for name in self.names], dim=2), x[0 if self.reverse else -1]

    def _bones(self, points: Tensor) -> Tensor:
        """Returns (T, B, M, E, 3)."""
        return points[..., self.child, :] - points[..., self.parent, :]

    def _distances(self, points: Tensor) -> Tensor:
        """Returns (P, T, B), in the points' unit, for points (T, B, M, V, 3)."""
        rows = points.flatten(2, 3).permute(3, 2, 0, 1).flatten(2)  # (3, M V, T B), a point's together
        first, second = self.pairs.unbind(1)
        square = (rows.index_select(1, first) - rows.index_select(1, second)).square().sum(dim=0)
        distances: Tensor = square.clamp_min(TINY**2).sqrt() - TINY
        return distances.view(-1, *points.shape[:2])

    def _pairs_of(self, bodies: Tensor) -> Tensor:
        """Returns (P, T, B), whether both bodies of a pair are among those of (T, B, M)."""
        first, second = (bodies.permute(2, 0, 1)[at] for at in (self.pairs // self.joints).unbind(1))
        return first & second


def _ends(joints: int, bones: Sequence[tuple[int, int]]) -> list[int]:
    children, parents = {child for child, _ in bones}, {parent for _, parent in bones}
    return [joint for joint in range(joints) if joint not in children & parents]
