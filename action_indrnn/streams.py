"""Streams of a skeleton on the way into a network: joints, bones, and the motion of both, frame by frame.

Shapes: `T` frames, `B` clips in a batch, `M` bodies, `V` joints, `E` bones, `F` features; sequences are
time-major.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from action_indrnn.features import one_earlier


class Streams(nn.Module):
    """Chosen streams beside each other in place of the joints.

    A bone is the way from its parent to its child joint, so the root has none. Motion is the change since the
    frame before among the frames that the network sees, that is the sampled ones; where a body is absent now
    or was before, and before the first frame, it is 0, so that coming and going are no motion. A body whose
    joints are all 0 is absent.

    The state is the last frame, so a stream of single frames gives what the whole clip gives.

    Args:
        features: F, joints of M bodies after one another, three coordinates each.
        names: of "joint", "bone", "motion", "bone-motion", in the order wanted.
        joints: V of a body.
        bones: (child, parent) joint numbers.

    Attributes:
        width: numbers in a frame that come out.
        units: numbers in a frame of the state.
        reverse: whether time is walked from the last frame to the first; then "before" is the frame after.

    Raises:
        ValueError: the features are not whole bodies, or bones are asked for where the layout has none.
    """

    child: Tensor
    parent: Tensor

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
        if not bones and any(name.startswith("bone") for name in names):
            raise ValueError("data.streams: expected a joint layout with bones, found none")
        self.names = tuple(names)
        self.joints = joints
        self.units = features
        self.reverse = False
        widths = {"joint": joints, "motion": joints, "bone": len(bones), "bone-motion": len(bones)}
        self.width = 3 * bodies * sum(widths[name] for name in names)
        pairs = torch.tensor(bones, dtype=torch.long).reshape(-1, 2)
        self.register_buffer("child", pairs[:, 0].clone(), persistent=False)  # (E,)
        self.register_buffer("parent", pairs[:, 1].clone(), persistent=False)  # (E,)

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns (T, B, width), stream after stream, and the frame to go on from (B, F)."""
        earlier, last = one_earlier(x, before, self.reverse)
        now = x.reshape(*x.shape[:2], -1, self.joints, 3)  # (T, B, M, V, 3)
        then = earlier.reshape(now.shape)
        both = _seen(now) & _seen(then)
        motion = torch.where(both, now - then, 0)
        made = [
            self._bones(points) if name.startswith("bone") else points
            for name, points in ((name, motion if name.endswith("motion") else now) for name in self.names)
        ]
        return torch.cat([stream.flatten(2) for stream in made], dim=2), last

    def _bones(self, points: Tensor) -> Tensor:
        """Returns (T, B, M, E, 3); bones are linear in the joints, so those of a motion are their motion."""
        return points[..., self.child, :] - points[..., self.parent, :]


def _seen(bodies: Tensor) -> Tensor:
    """Returns (T, B, M, 1, 1), whether a body has any joint that is not 0."""
    return (bodies != 0).flatten(3).any(dim=3)[..., None, None]
