"""Clips varied at random, whole batches at once on whatever device holds them.

Shapes: `S` sampled frames, `B` clips in a batch, `M` bodies, `V` joints, `F` features, `P` points of a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NUMBERS = 4  # random numbers of a clip: an angle about each axis, a size
DISPLACED = 2, 0.1  # joints of a body that stand off, in the mean; metres, standard deviation of how far
GLITCH = 0.15, 0.05  # metres, standard deviations of how far a lost joint stands off, and trembles there
LONGEST = 0.5  # of a clip, for which a joint or a body is lost
LIMB = 3  # joints of a limb, at least
SPLICED = 0.75  # of a window, at most, shows the clip before: with less of its own none can be told


def mapped(x: Tensor, maps: Tensor) -> Tensor:
    """Every point of each clip by the clip's linear map: (S, B, F).

    Args:
        x: (S, B, F), every three features a point.
        maps: (B, 3, 3).
    """
    points = x.view(*x.shape[:2], -1, 3)  # (S, B, P, 3)
    first, second, third = maps.to(x.dtype).transpose(1, 2).unsqueeze(2).unbind(1)  # (B, 1, 3) each
    # One by one and not as a product, which takes twice as long with matrices as small as these.
    found = (points[..., :1] * first).addcmul_(points[..., 1:2], second).addcmul_(points[..., 2:], third)
    return found.view(x.shape)


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
    return mapped(x, turn * (1 + scaling * spread[:, 3]).view(-1, 1, 1))


def shear(x: Tensor, uniform: Tensor, largest: float) -> Tensor:
    """Clips sheared about the origin, each as a whole: (S, B, F).

    Args:
        x: (S, B, F), every three features a point.
        uniform: (B, 6) random numbers in [0, 1): how far x goes with y and z, y with x and z, z with x and y.
        largest: metres of shift a metre.
    """
    matrix = torch.eye(3, dtype=uniform.dtype, device=x.device).repeat(len(uniform), 1, 1)
    matrix[:, ~torch.eye(3, dtype=torch.bool, device=x.device)] = largest * (2 * uniform - 1)
    return mapped(x, matrix)


def mirror(x: Tensor, uniform: Tensor, share: float, swapped: Tensor) -> Tensor:
    """Some clips mirrored in the plane x = 0, left joints swapped with right ones: (S, B, F).

    Args:
        x: (S, B, F), bodies after one another.
        uniform: (B,) random numbers in [0, 1).
        share: of the clips.
        swapped: (V,) int64, the joint that each joint becomes; see `mirrored_joints`.
    """
    bodies = x.view(*x.shape[:2], -1, len(swapped), 3)
    other = bodies[..., swapped, :] * x.new_tensor([-1.0, 1.0, 1.0])
    return torch.where((uniform < share)[:, None], other.view(x.shape), x)


def mirrored_joints(joints: int, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """(V,) which joint takes each joint's place in a mirror image; a pair is left and right."""
    swapped = torch.arange(joints)
    for left, right in pairs:
        swapped[left], swapped[right] = right, left
    return swapped


def exchange(x: Tensor, chosen: Tensor, origin: Tensor, turn: Tensor) -> Tensor:
    """Clips in some of which the second body is the main actor: (S, B, F).

    Args:
        x: (S, B, F), two bodies after one another; a body of zeros is not there.
        chosen: (B,) bool.
        origin: (B, 3), where the second body stands; see `dataset.Second`.
        turn: (B, 3, 3), what it is turned and scaled by to stand as main actors do.
    """
    bodies = x.view(*x.shape[:2], 2, -1, 3).flip(2)
    there = (bodies != 0).flatten(3).any(dim=3)[..., None, None]
    points = (bodies - origin[:, None, None]).flatten(2, 3) @ turn.transpose(1, 2)
    other = torch.where(there, points.view(bodies.shape), 0)
    return torch.where(chosen[:, None], other.view(x.shape), x)


def jitter(x: Tensor, normal: Tensor, deviation: float) -> Tensor:
    """Clips with noise on every coordinate of every joint that is there: (S, B, F).

    Args:
        x: (S, B, F), every three features a point; a point at 0 is not there.
        normal: (S, B, F) standard normal numbers.
        deviation: metres.
    """
    there = (x.view(*x.shape[:2], -1, 3) != 0).any(dim=3, keepdim=True).expand(-1, -1, -1, 3).reshape(x.shape)
    return torch.where(there, x + deviation * normal.to(x.dtype), x)


def drop_joints(x: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Clips in which some joints lie at the origin in every frame, as if never tracked: (S, B, F).

    Args:
        x: (S, B, F), every three features a point.
        uniform: (B, P) random numbers in [0, 1).
        share: of a clip's joints.
    """
    return x.masked_fill((uniform < share).repeat_interleave(3, dim=1), 0)


def displace(x: Tensor, uniform: Tensor, normal: Tensor, share: float, limbs: Tensor) -> Tensor:
    """Clips of people who hold, or are built, a little otherwise: (S, B, F).

    Some joints, with all that hangs on them, stand off by the same way in every step; see `DISPLACED`.

    Args:
        x: (S, B, F), bodies after one another; a body of zeros is not there.
        uniform: (B, M, V + 1) random numbers in [0, 1): for each joint whether, for the body whether at all.
        normal: (B, M, V, 3) standard normal numbers: each joint's way.
        share: of the bodies.
        limbs: (V, V), what goes with each joint; see `limbs_of`.
    """
    joints, deviation = DISPLACED
    chosen = (uniform[..., :-1] < joints / len(limbs)) & (uniform[..., -1:] < share)  # (B, M, V)
    ways = (deviation * normal).masked_fill(~chosen[..., None], 0).to(x.dtype)
    ways = limbs.to(x.dtype).t() @ ways  # (B, M, V, 3)
    bodies = x.view(*x.shape[:2], -1, len(limbs), 3)
    there = (bodies != 0).flatten(3).any(dim=3)[..., None, None]
    return torch.where(there, bodies + ways, bodies).view(x.shape)


def graft(x: Tensor, other: Tensor, uniform: Tensor, share: float, limbs: Tensor, forks: Tensor) -> Tensor:
    """Clips in which a limb of a body moves as in another clip: (S, B, F).

    The limb hangs on the body's own joint. Where either body is not seen in every step, nothing changes.

    Args:
        x: (S, B, F), bodies after one another; a body of zeros is not there.
        other: (S, B, F), another clip for each.
        uniform: (B, M, 2) random numbers in [0, 1): whether, and which limb.
        share: of the bodies.
        limbs: (V, V), what belongs to each joint; see `limbs_of`.
        forks: (G, 2), limbs to choose from, a joint and what it hangs on; see `forks_of`.
    """
    own, from_it = (clip.view(*x.shape[:2], -1, len(limbs), 3) for clip in (x, other))
    whole = ((own != 0).flatten(3).any(dim=3) & (from_it != 0).flatten(3).any(dim=3)).all(dim=0)  # (B, M)
    joint, origin = forks[(uniform[..., 1] * len(forks)).long()].unbind(2)  # (B, M) each
    moved = limbs[joint] & ((uniform[..., 0] < share) & whole)[..., None]  # (B, M, V)
    at = origin[None, :, :, None, None].expand(len(x), -1, -1, 1, 3)
    hung = from_it + (own.gather(3, at) - from_it.gather(3, at))
    return torch.where(moved[..., None], hung, own).view(x.shape)


def glitch(x: Tensor, uniform: Tensor, normal: Tensor, share: float, limbs: Tensor) -> Tensor:
    """Clips in which a sensor loses a joint, with all that hangs on it, for a while: (S, B, F).

    What is lost stands somewhere else for up to half of the steps, and trembles there; see `GLITCH`.

    Args:
        x: (S, B, F), bodies after one another; a body of zeros is not there.
        uniform: (B, M, 4) random numbers in [0, 1): whether, which joint, from when on, for how long.
        normal: (S + 1, B, M, 3) standard normal numbers: the way to the other place, then the trembling.
        share: of the bodies.
        limbs: (V, V), what is lost with each joint; see `limbs_of`.
    """
    steps, joints = len(x), len(limbs)
    bodies = x.view(steps, x.shape[1], -1, joints, 3)
    whether, which, start, length = uniform.unbind(2)  # (B, M) each
    lost = (whether < share) & _spell(steps, start, length)  # (S, B, M)
    lost &= (bodies != 0).flatten(3).any(dim=3)
    moved = lost[..., None] & limbs[(which * joints).long()]  # (S, B, M, V)
    way, trembling = GLITCH
    elsewhere = (way * normal[0] + trembling * normal[1:]).to(x.dtype)
    return torch.where(moved[..., None], bodies + elsewhere[..., None, :], bodies).view(x.shape)


def absence(x: Tensor, uniform: Tensor, share: float, bodies: int) -> Tensor:
    """Clips in which a sensor sees nobody for a while, or one of several bodies less: (S, B, F).

    It lasts for up to half of the steps; half of the clips of several bodies lose all of them.

    Args:
        x: (S, B, F), bodies after one another.
        uniform: (B, 4) random numbers in [0, 1): whether, who, from when on, for how long.
        share: of the clips.
        bodies: M.
    """
    split = x.view(*x.shape[:2], bodies, -1)
    whether, who, start, length = uniform.unbind(1)
    lost = (whether < share) & _spell(len(x), start, length)  # (S, B)
    gone = (who < 0.5)[:, None] | _one_of(split, 2 * who - 1)
    return split.masked_fill((lost[..., None] & gone)[..., None], 0).view(x.shape)


def _spell(steps: int, start: Tensor, length: Tensor) -> Tensor:
    """(S, ...) which steps lie in a spell from `start` on, `length` of the longest, both from 0 to 1."""
    time = torch.arange(steps, device=start.device).view(-1, *[1] * start.ndim) / steps
    return (time >= start) & (time < start + LONGEST * length)


def _one_of(bodies: Tensor, uniform: Tensor) -> Tensor:
    """(B, M) one of the bodies (S, B, M, V * 3) that a clip has, by a random number (B,) in [0, 1)."""
    there = (bodies != 0).any(dim=3).any(dim=0)
    chosen = (uniform * there.sum(dim=1)).long()
    return there & (there.cumsum(dim=1) - 1 == chosen[:, None])


def limbs_of(joints: int, bones: Sequence[tuple[int, int]]) -> Tensor:
    """(V, V) bool: in a joint's row that joint and all that hang on it, or it alone if they are over half.

    Args:
        joints: V.
        bones: (child, parent) pairs.
    """
    limbs = torch.eye(joints, dtype=torch.bool)
    for _ in range(joints):  # as many rounds as a chain of bones may have
        for child, parent in bones:
            limbs[parent] |= limbs[child]
    limbs[limbs.sum(dim=1) > joints // 2] = False
    return limbs | torch.eye(joints, dtype=torch.bool)


def forks_of(limbs: Tensor, bones: Sequence[tuple[int, int]]) -> Tensor:
    """(G, 2) limbs of three joints or more that begin where several do, and the joint that they hang on.

    Of a person that is the arms from the shoulders on and the legs from the hips on, and what is above the
    spine or below it, where that is no more than half of the joints.

    Args:
        limbs: (V, V); see `limbs_of`.
        bones: (child, parent) pairs.
    """
    parents = [parent for _, parent in bones]
    sizes = limbs.sum(dim=1).tolist()
    found = [pair for pair in bones if sizes[pair[0]] >= LIMB and parents.count(pair[1]) > 1]
    return torch.tensor(found, dtype=torch.long).reshape(-1, 2)


def splice(x: Tensor, before: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Clips as a window of a stream sees them, begun while another action still went on: (S, B, F).

    The end of the clip before comes first, then this one, whose own end falls out.

    Args:
        x: (S, B, F).
        before: (S, B, F), other clips.
        uniform: (B, 2) random numbers in [0, 1): whether, and how much of the clip before.
        share: of the clips.
    """
    steps = len(x)
    cut = torch.where(uniform[:, 0] < share, (uniform[:, 1] * SPLICED * steps).long(), 0)  # (B,)
    place = torch.arange(steps, device=x.device)[:, None]
    source = (place - cut) % steps  # (S, B)
    earlier = (place < cut)[..., None]
    index = source[..., None].expand_as(x)
    return torch.where(earlier, before.gather(0, index), x.gather(0, index))


def drop_bodies(x: Tensor, uniform: Tensor, share: float, bodies: int) -> Tensor:
    """Clips of several bodies, from some of which one body is gone: (S, B, F); a lone body stays.

    Args:
        x: (S, B, F), bodies after one another.
        uniform: (B, 2) random numbers in [0, 1): whether, and which.
        share: of the clips of several bodies.
        bodies: M.
    """
    split = x.view(*x.shape[:2], bodies, -1)
    several = (split != 0).any(dim=3).any(dim=0).sum(dim=1) > 1
    gone = _one_of(split, uniform[:, 1]) & ((uniform[:, 0] < share) & several)[:, None]
    return split.masked_fill(gone[..., None], 0).view(x.shape)


@dataclass(frozen=True)
class Timing:
    """A part of each clip, played at another speed; all (B,) int64.

    Attributes:
        start: its first frame.
        length: its frames.
        played: frames that it lasts when played: what the sampler takes for the clip's length.
    """

    start: Tensor
    length: Tensor
    played: Tensor

    def frames(self, sampled: Tensor) -> Tensor:
        """(B, S) frame numbers of the clips for frame numbers of what is played; -1 stays -1."""
        inside = torch.div(sampled * self.length[:, None], self.played[:, None], rounding_mode="floor")
        return torch.where(sampled < 0, -1, self.start[:, None] + inside)


def timing(lengths: Tensor, uniform: Tensor, crop: float, speed: float) -> Timing:
    """A random part of each clip at a random speed.

    Args:
        lengths: (B,) int64.
        uniform: (B, 3) float64 random numbers in [0, 1): the part's share, its place, its speed.
        crop: smallest share of a clip that is kept.
        speed: largest factor by which a clip is played faster or slower is 1 + speed.
    """
    share = crop + (1 - crop) * uniform[:, 0]
    kept = (lengths * share).ceil().long().clamp(min=1)
    start = (uniform[:, 1] * (lengths - kept + 1)).long()
    factor = (1 + speed) ** (2 * uniform[:, 2] - 1)
    return Timing(start, kept, (kept / factor).round().long().clamp(min=1))
