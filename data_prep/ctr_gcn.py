"""The clips that the preparation scripts of SGN and CTR-GCN make, to the bit: to compare with their numbers.

Facts of the scripts (microsoft/SGN, Uason-Chen/CTR-GCN: data/ntu): frames without a body are dropped and the
rest numbered anew; a body stands from its first frame on without its gaps; with several bodies those seen in
few frames are dropped, then those of too wide a spread; the one with the most motion is actor 1, and each
other continues the first actor whose interval it does not overlap. Our own recipe, in `bodies`, keeps true
frame numbers.

Shapes: T frames, n frames of one body, V = 25 joints.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.bodies import MOST_ACTORS, NOISY_SHARE, SHORT, WIDE, Dropped
from action_indrnn.data_prep.clip import Clip, ClipError, Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.skeleton_file import Recording


@dataclass(eq=False)
class _Body:
    body_id: int
    joints: Floats  # (n, V, 3)
    start: int  # frame, of those with a body
    motion: float = 0.0

    @property
    def last(self) -> int:
        return self.start + len(self.joints) - 1


def choose(recording: Recording, layout: Layout) -> tuple[Clip, list[Dropped]]:
    """The translated clip of a recording's actors, and the bodies left out.

    The origin is the centre joint of actor 1 in the first frame that is not all zeros.

    Raises:
        ClipError: where the scripts stop: no body, or only bodies of few frames.
    """
    actors, dropped = _seen(recording)
    origin = actors[0, np.argmax(_nonzero(actors[0])), layout.centre].copy()
    # Frames of zeros are kept at zero where there are two actors; a lone actor's are moved like all others.
    present = np.ones(actors.shape[:2], np.bool_) if len(actors) == 1 else _sums(actors) != 0
    actors = np.where(present[..., None, None], actors - origin, np.float32(0))
    return Clip(recording.name, actors, present), dropped


def untranslated(recording: Recording) -> tuple[Clip, list[Dropped]]:
    """The clip of a recording's actors in camera space, as the scripts have it before they translate.

    Raises:
        ClipError: see `choose`.
    """
    actors, dropped = _seen(recording)
    lone = np.ones(actors.shape[:2], np.bool_)
    present = lone if len(actors) == 1 else np.stack([_nonzero(actor) for actor in actors])
    return Clip(recording.name, actors, present), dropped


def _seen(recording: Recording) -> tuple[Floats, list[Dropped]]:
    """The same as `denoise`; an error where actor 1 is nothing but zeros."""
    actors, dropped = denoise(recording)
    if not actors[0].any():
        raise ClipError(f"{recording.source}: expected a body, found only zeros")
    return actors, dropped


def denoise(recording: Recording) -> tuple[Floats, list[Dropped]]:
    """The joints (M, T, V, 3) of one or two actors in camera space, and the bodies left out.

    Raises:
        ClipError: where the scripts stop: no body, or only bodies of few frames.
    """
    tracks = list(recording.values())
    if not tracks:
        raise ClipError(f"{recording.source}: expected a body, found none in {recording.frame_count} frames")
    frames = np.unique(np.concatenate([track.frames for track in tracks]))
    bodies = [
        _Body(track.body_id, track.joints, int(np.searchsorted(frames, track.frames[0]))) for track in tracks
    ]
    if len(bodies) == 1:
        return _lay(len(frames), [bodies]), []
    for body in bodies:
        body.motion = _motion(body.joints)
    dropped: list[Dropped] = []
    bodies = _drop_short(bodies, dropped, recording.source)
    if len(bodies) > 1:
        bodies = _drop_wide(bodies, dropped)
    if len(bodies) == 1:
        actors = _lay(len(frames), [bodies])
    else:
        bodies.sort(key=lambda body: body.motion, reverse=True)
        actors = _lay(len(frames), _assign(bodies, dropped))
    rows = actors.swapaxes(0, 1).reshape(len(frames), -1)  # (T, M * V * 3)
    return actors[:, rows.sum(axis=1) != 0], dropped


def _motion(joints: Floats) -> float:
    """The variances of x, y and z over all joints and frames, summed."""
    return float(joints.reshape(-1, 3).var(axis=0).sum())


def _sums(actors: Floats) -> Floats:
    """(M, T) the sums of all coordinates, by which the scripts tell a frame of zeros."""
    sums: Floats = actors.reshape(*actors.shape[:2], -1).sum(axis=2)
    return sums


def _nonzero(joints: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (joints != 0).any(axis=(1, 2))
    return found


def _drop_short(bodies: list[_Body], dropped: list[Dropped], source: str) -> list[_Body]:
    kept = [body for body in bodies if len(body.joints) > SHORT]
    if not kept:
        raise ClipError(f"{source}: expected a body in more than {SHORT} frames, found none of {len(bodies)}")
    reason = f"seen in {SHORT} frames or fewer"
    dropped += [Dropped(body.body_id, len(body.joints), reason) for body in bodies if body not in kept]
    return kept


def _drop_wide(bodies: list[_Body], dropped: list[Dropped]) -> list[_Body]:
    """The bodies without those spread like no person; the motion of the rest counts good frames at most."""
    kept = list(bodies)
    for body in bodies:
        if len(kept) == 1:
            break
        span = np.ptp(body.joints[..., :2], axis=1).astype(np.float64)  # (n, 2)
        good = span[:, 0] <= WIDE * span[:, 1]
        if good.all():
            continue
        if (len(good) - good.sum()) / len(good) >= NOISY_SHARE:
            kept.remove(body)
            dropped.append(Dropped(body.body_id, len(good), "spread like no person"))
        else:
            body.motion = min(body.motion, _motion(body.joints[good]))
    return kept


def _assign(bodies: list[_Body], dropped: list[Dropped]) -> list[list[_Body]]:
    """The bodies of each of two actors; the second one's interval starts as the first frame."""
    actors: list[list[_Body]] = [[bodies[0]], []]
    intervals = [(bodies[0].start, bodies[0].last), (0, 0)]
    for body in bodies[1:]:
        for actor in range(MOST_ACTORS):
            start, last = intervals[actor]
            if min(last, body.last) <= max(start, body.start):
                actors[actor].append(body)
                intervals[actor] = min(start, body.start), max(last, body.last)
                break
        else:
            dropped.append(Dropped(body.body_id, len(body.joints), "overlaps both actors"))
    return actors


def _lay(frames: int, actors: list[list[_Body]]) -> Floats:
    """(M, T, V, 3) the bodies of each actor in their frames, later ones over earlier ones."""
    joints = np.zeros((len(actors), frames, *actors[0][0].joints.shape[1:]), np.float32)
    for actor, bodies in enumerate(actors):
        for body in bodies:
            joints[actor, body.start : body.last + 1] = body.joints
    return joints
