"""Chooses a clip's actors among the tracked bodies of a recording.

The sensor tracks furniture as people, loses people and finds them again under another id. Here noise is
dropped, handed-over ids are joined, and the rest is ranked by motion. Every body stays on the recording's
true frame numbers: a gap stays a gap.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import Clip, ClipError, Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.skeleton_file import Recording, Track

MOST_ACTORS = 2
# Noise rules and their three constants: microsoft/SGN, data/ntu/get_raw_denoised_data.py.
SHORT = 11  # frames; a body seen for no longer is noise when there is another
WIDE = 0.8  # a frame is noisy when the body's x-span exceeds this share of its y-span
NOISY_SHARE = 0.69754  # a body with this share of noisy frames is noise when there is another
# Hand-over: the next id starts where a person could have got to from where the last one ended.
HANDOVER_GAP = 60  # frames, two seconds
HANDOVER_DISTANCE = 0.3  # metres, for the jump between two fits of one person
HANDOVER_SPEED = 1.0 / 30  # metres a frame, a walk
HANDOVER_WALK = 10  # frames; over a longer gap nobody is taken to have walked on


@dataclass(frozen=True)
class Dropped:
    """A body id that is not in the clip, with the reason."""

    body_id: int
    frames: int
    reason: str


@dataclass(frozen=True, eq=False)
class _Body:
    """A person: one or more tracks that do not overlap, in order of time."""

    ids: tuple[int, ...]
    frames: NDArray[np.int64]  # (n,)
    joints: Floats  # (n, V, 3)


def choose(recording: Recording, layout: Layout) -> tuple[Clip, list[Dropped]]:
    """The clip of a recording's actors, the most moving first, and the bodies left out.

    Returns:
        A clip of 1 or 2 bodies over all frames of the recording, and what was dropped and why.

    Raises:
        ClipError: no body in any frame.
    """
    bodies = [body for body in map(_seen, recording.values()) if len(body.frames)]
    if not bodies:
        raise ClipError(f"{recording.source}: expected a body, found none in {recording.frame_count} frames")
    dropped: list[Dropped] = []
    bodies = _join(bodies, layout.centre)  # first: who lies under a second id stood under the first
    bodies = _drop(bodies, _is_wide, "spread like no person", dropped)
    bodies = _drop(bodies, _is_short, f"seen in {SHORT} frames or fewer", dropped)
    if len(bodies) > 1:
        bodies.sort(key=lambda body: (-_motion(body), body.frames[0]))
    for body in bodies[MOST_ACTORS:]:
        dropped += _drops(body, f"more than {MOST_ACTORS} actors, this one moves least")
    bodies = bodies[:MOST_ACTORS]
    joints = np.zeros((len(bodies), recording.frame_count, *bodies[0].joints.shape[1:]), np.float32)
    present = np.zeros(joints.shape[:2], np.bool_)
    for slot, body in enumerate(bodies):
        joints[slot, body.frames] = body.joints
        present[slot, body.frames] = True
    return Clip(recording.name, joints, present), dropped


def _seen(track: Track) -> _Body:
    """The track without the frames in which all joints are zero, which the sensor writes for a lost body."""
    seen = track.joints.any(axis=(1, 2))
    return _Body((track.body_id,), track.frames[seen], track.joints[seen])


def _drops(body: _Body, reason: str) -> list[Dropped]:
    return [Dropped(body_id, len(body.frames), reason) for body_id in body.ids]


def _drop(
    bodies: list[_Body], noise: Callable[[_Body], bool], reason: str, dropped: list[Dropped]
) -> list[_Body]:
    """The bodies that are not noise; where all are, the one seen longest."""
    if len(bodies) == 1:
        return bodies
    kept = [body for body in bodies if not noise(body)] or [max(bodies, key=lambda body: len(body.frames))]
    for body in bodies:
        if body not in kept:
            dropped += _drops(body, reason)
    return kept


def _is_wide(body: _Body) -> bool:
    span = np.ptp(body.joints, axis=1)  # (n, 3)
    return float(np.mean(span[:, 0] > WIDE * span[:, 1])) >= NOISY_SHARE


def _is_short(body: _Body) -> bool:
    return len(body.frames) <= SHORT


def _join(bodies: list[_Body], centre: int) -> list[_Body]:
    """The bodies with every handed-over id appended to the body it continues."""
    chains: list[_Body] = []
    for body in sorted(bodies, key=lambda body: int(body.frames[0])):
        distances = [_handover(chain, body, centre) for chain in chains]
        best = int(np.argmin(distances)) if distances else 0
        if distances and np.isfinite(distances[best]):
            chain = chains[best]
            chains[best] = _Body(
                chain.ids + body.ids,
                np.concatenate([chain.frames, body.frames]),
                np.concatenate([chain.joints, body.joints]),
            )
        else:
            chains.append(body)
    return chains


def _handover(first: _Body, then: _Body, centre: int) -> float:
    """Metres between the end of one body and the start of the next; infinite if it cannot be one person."""
    gap = int(then.frames[0] - first.frames[-1])
    distance = float(np.linalg.norm(then.joints[0, centre] - first.joints[-1, centre]))
    reach = HANDOVER_DISTANCE + HANDOVER_SPEED * min(gap, HANDOVER_WALK)
    if 0 < gap <= HANDOVER_GAP and distance <= reach:
        return distance
    return np.inf


def _motion(body: _Body) -> float:
    """Squared metres that the joints move about their means, summed over frames, a mean over joints."""
    joints = body.joints.astype(np.float64)
    return float(((joints - joints.mean(axis=0)) ** 2).sum(axis=(0, 2)).mean())
