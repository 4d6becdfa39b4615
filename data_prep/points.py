"""Joints as a clip file holds them, and the clip that they become: ordered, whole, in metres with y up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep import layout as layouts
from action_indrnn.data_prep.bodies import MOST_ACTORS, Dropped
from action_indrnn.data_prep.clip import COORDINATE_LIMIT, Bools, Clip, ClipError, from_joints
from action_indrnn.data_prep.layout import UNITS, UPS, Layout

Doubles = NDArray[np.float64]
_AT_ORIGIN = 0.05  # metres


@dataclass(frozen=True)
class Points:
    """What stands in a clip file.

    Attributes:
        name: the clip's.
        source: where it lies, as errors name it.
        joints: (M, T, V, 3), in the file's own unit and axes; NaN where a joint was not seen.
        names: V joint names; none where the file has none.
        spare: whether joints beyond those of a layout are to be left out, such as fingers of motion capture.
    """

    name: str
    source: str
    joints: Doubles
    names: tuple[str, ...] = ()
    spare: bool = False


def to_clip(points: Points, recorded: Layout, wanted: Layout) -> tuple[Clip, list[Dropped]]:
    """The clip of the points, in the joints of a layout, and the bodies left out.

    A body is absent in frames in which none of its joints was seen, or all of them stand at 0. A joint that
    was not seen in a frame in which its body was keeps the bone to its parent that it last had (none before
    that: it lies on its parent); this looks at no later frame. Of more than two bodies those two stay that
    move most, in the file's order.

    Args:
        points: as the file holds them.
        recorded: the layout, unit and axes of the file.
        wanted: the layout of the clip, `recorded` or one of its maps.

    Raises:
        ClipError: other joints than the layout's, joints without depth, coordinates of a picture, nobody in
            any frame, not metres.
    """
    joints = points.joints[:, :, _order(points, recorded)]
    seen = ~np.isnan(joints).any(axis=3)
    seen &= (np.nan_to_num(joints) != 0).any(axis=(2, 3))[..., None]
    _check_metres(joints, seen, recorded, points.source)
    if not seen.any():
        raise ClipError(f"{points.source}: expected a body, found none in {joints.shape[1]} frames")
    flat = np.flatnonzero(np.ptp(joints[seen], axis=0) == 0)
    if flat.size:
        raise ClipError(
            f"{points.source}: expected joints in 3D, found the same {'xyz'[flat[0]]} everywhere: "
            + layouts.NO_DEPTH
        )
    check_origin(joints, recorded, points.source)
    joints = whole(joints, seen, recorded)
    chosen, dropped = actors(joints, np.any(seen, axis=2))
    joints = house_axes(joints[chosen], recorded)
    if wanted != recorded:
        joints = mapping(recorded, wanted, points.source) @ joints
    return from_joints(points.name, joints, points.source), dropped


def _check_metres(joints: Doubles, seen: Bools, recorded: Layout, source: str) -> None:
    """Raises ClipError with the first of joints (M, T, V, 3) seen where nobody can be, or infinite."""
    far = (np.abs(joints) * UNITS[recorded.unit] > COORDINATE_LIMIT) & (seen[..., None] | np.isinf(joints))
    frames = np.flatnonzero(far.any(axis=(0, 2, 3)))
    if not frames.size:
        return
    body, joint, axis = np.argwhere(far[:, frames[0]])[0]
    raise ClipError(
        f"{source}: frame {frames[0] + 1} of {joints.shape[1]}, body {body + 1}, {recorded.joints[joint]}: "
        f"expected metres within +-{COORDINATE_LIMIT:g}, or NaN where it was not seen, "
        f"found {'xyz'[axis]} = {joints[body, frames[0], joint, axis]:g} {recorded.unit} "
        f"(frames with such: {len(frames)})"
    )


def mapping(recorded: Layout, wanted: Layout, source: str) -> Doubles:
    """(V wanted, V recorded) the shares of which a layout makes the joints of another.

    Raises:
        ClipError: it has no such map, and other joints.
    """
    if wanted.name not in recorded.maps:
        known = ", ".join(recorded.maps) or "none"
        problem = f"found {recorded.name}, which has a map to {known}"
        try:  # the same joints in another order, unit or axes
            return np.eye(len(recorded.joints))[layouts.order(recorded.joints, wanted, source)]
        except ValueError as error:
            raise ClipError(f"{error}; {problem}") from error
    rows = recorded.maps[wanted.name]
    shares = np.zeros((len(wanted.joints), len(recorded.joints)))
    for row, place in enumerate(layouts.order(list(rows), wanted, f"{recorded.name}: map to {wanted.name}")):
        for joint, share in list(rows.values())[place]:
            shares[row, joint] = share
    return shares


def _order(points: Points, recorded: Layout) -> Sequence[int] | slice:
    """Where the layout's joints stand in the file."""
    count = points.joints.shape[2]
    if points.names:
        try:
            return layouts.order(points.names, recorded, points.source, spare=points.spare)
        except ValueError as error:
            raise ClipError(str(error)) from error
    if count != len(recorded.joints):
        raise ClipError(f"{points.source}: {layouts.miscounted(recorded, count)}")
    return slice(None)


def check_origin(joints: Doubles, recorded: Layout, source: str) -> None:
    """Check that joints about the body's middle are not coordinates of a picture.

    A pose estimator's image landmarks are shares of the picture's width and height with a depth about the
    hips; its world landmarks have the hips at the origin in all three.

    Raises:
        ClipError: they are.
    """
    if not recorded.origin:
        return
    middle = joints[:, :, list(recorded.origin)].mean(axis=2).reshape(-1, 3)  # NaN where one was not seen
    middle = middle[np.isfinite(middle).all(axis=1)]
    if not len(middle):
        return
    x, y, z = np.median(np.abs(middle), axis=0) * UNITS[recorded.unit]
    if max(x, y) > _AT_ORIGIN > z:
        named = " and ".join(recorded.joints[joint] for joint in recorded.origin)
        raise ClipError(
            f"{source}: expected the middle of {named} at the origin, found it at {x:.2f}, {y:.2f}, {z:.2f}: "
            "these look like image landmarks, which have no metres and no depth; take the world landmarks"
        )


def whole(joints: Doubles, seen: Bools, layout: Layout) -> Doubles:
    """The joints with those in place that were not seen, by the bone to its parent that each last had.

    Args:
        joints: (M, T, V, 3).
        seen: (M, T, V). Before it is first seen a joint lies on its parent; a body of which nothing is seen
            is 0.
        layout: says which joint hangs on which.
    """
    there = seen.any(axis=2)  # (M, T)
    known = np.where(seen[..., None], joints, 0.0)
    middle = known.sum(axis=2) / np.maximum(seen.sum(axis=2), 1)[..., None]  # (M, T, 3)
    filled = np.empty_like(joints)
    for joint, parent in layout.parents():
        above = middle if parent < 0 else filled[:, :, parent]
        own = seen[:, :, joint]
        frame = np.where(own, np.arange(joints.shape[1]), -1)
        last = np.maximum.accumulate(frame, axis=1)
        bone = np.take_along_axis(known[:, :, joint] - above, np.maximum(last, 0)[..., None], axis=1)
        bone[last < 0] = 0
        filled[:, :, joint] = np.where(own[..., None], known[:, :, joint], above + bone)
    filled[~there] = 0
    return filled


def actors(joints: NDArray[np.floating], there: Bools) -> tuple[NDArray[np.intp], list[Dropped]]:
    """Those two bodies that move most, in the file's order, and the bodies left out, numbered from 0.

    Args:
        joints: (M, T, V, 3).
        there: (M, T), whether the body is in the frame.
    """
    bodies = np.flatnonzero(there.any(axis=1))
    motion = [float(joints[body, there[body]].var(axis=0).sum()) for body in bodies]
    ranked = bodies[np.argsort([-amount for amount in motion], kind="stable")]
    dropped = [
        Dropped(int(body), int(there[body].sum()), f"more than {MOST_ACTORS} actors, this one moves least")
        for body in ranked[MOST_ACTORS:]
    ]
    return np.sort(ranked[:MOST_ACTORS]), dropped


def house_axes(joints: Doubles, layout: Layout) -> Doubles:
    """The joints in metres, y up."""
    axes = UPS[layout.up]
    signs = np.array([-1.0 if axis < 0 else 1.0 for axis in axes])
    if layout.mirrored:
        signs[0] *= -1
    turned: Doubles = joints[..., [~axis if axis < 0 else axis for axis in axes]] * signs
    return turned * UNITS[layout.unit]
