"""What is in one clip: reports as JSON holds them.

Shapes: T frames of a body, V joints, C coordinates.
"""

from pathlib import Path
from typing import Any

import numpy as np

from action_indrnn.data_prep import bodies, clip_file, layout, ntu, posture, skeleton_file
from action_indrnn.data_prep.clip import ClipError, Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.skeleton_file import Recording
from action_indrnn.data_prep.sources import Source

FRAME_RATE = 30  # of a Kinect v2, frames a second


def of_recording(path: Path) -> dict[str, Any]:
    """What stands in a `.skeleton` file, and what its actors would be.

    Raises:
        ClipError: it is damaged; names the line.
    """
    recording = skeleton_file.read(path)
    name = ntu.parse_name(recording.name) if ntu.is_name(recording.name) else None
    action = ntu.actions()[name.action - 1] if name and 1 <= name.action <= len(ntu.actions()) else None
    report: dict[str, Any] = {
        "kind": "recording",
        "path": str(path),
        **({**name._asdict(), "action_in_ntu": action} if name else {}),
        "frames": recording.frame_count,
        "seconds": recording.frame_count / FRAME_RATE,
        "bytes": path.stat().st_size,
        "frames_without_body": recording.frame_count - len(_seen(recording)),
        "listed_as_missing": recording.name in ntu.missing(),
        "bodies": [_body(body_id, recording) for body_id in recording],
        "problems": [],
    }
    try:
        clip, dropped = bodies.choose(recording, layout.load("ntu25"))
    except ClipError as error:
        return report | {"actors": [], "problems": [str(error)]}
    report["actors"] = [{"frames": int(present.sum())} for present in clip.present]
    report["bodies_left_out"] = [{"id": str(body.body_id), "reason": body.reason} for body in dropped]
    return report


def of_points(path: Path, recorded: Layout) -> dict[str, Any]:
    """What stands in a clip file of another kind than `.skeleton`, and what its actors would be.

    Args:
        path: the file; see `clip_file`.
        recorded: its joints, unit and axes.

    Raises:
        ClipError: it is damaged or of other joints; names line or field.
    """
    clip, dropped = clip_file.read(Source(path), recorded)
    poses = clip.joints[clip.present]
    return {
        "kind": "clip",
        "path": str(path),
        "layout": {"name": recorded.name, "joints": len(recorded.joints)},
        "frames": clip.present.shape[1],
        "bytes": path.stat().st_size,
        "frames_without_body": int((~clip.present.any(axis=0)).sum()),
        "actors": [
            {
                "frames": int(present.sum()),
                "height": float(np.median(np.ptp(joints[present][:, :, 1], axis=1))),
                "largest_step": float(_steps(joints[present][:, recorded.centre]).max(initial=0)),
            }
            for joints, present in zip(clip.joints, clip.present, strict=True)
        ],
        "bodies_left_out": [{"id": str(body.body_id), "reason": body.reason} for body in dropped],
        "from": [float(value) for value in poses.min(axis=(0, 1))],
        "to": [float(value) for value in poses.max(axis=(0, 1))],
        "problems": [posture.CURES[doubt] for doubt in posture.doubts(clip, recorded)],
        "not_checked": posture.unchecked(recorded),
    }


def _steps(places: Floats) -> Floats:
    """(T - 1,) metres from frame to frame."""
    steps: Floats = np.linalg.norm(np.diff(places, axis=0), axis=1)
    return steps


def _seen(recording: Recording) -> set[int]:
    return {frame for track in recording.values() for frame in track.frames.tolist()}


def _body(body_id: int, recording: Recording) -> dict[str, Any]:
    track = recording[body_id]
    states = np.bincount(track.states.ravel(), minlength=3) / track.states.size
    first, last = int(track.frames[0]), int(track.frames[-1])
    return {
        "id": str(body_id),  # an id does not fit a number of JSON
        "first_frame": first + 1,
        "last_frame": last + 1,
        "frames": len(track.frames),
        "gaps": last - first + 1 - len(track.frames),
        "height": float(np.median(np.ptp(track.joints[:, :, 1], axis=1))),
        "largest_step": float(_steps(track.joints[:, 1]).max(initial=0)),
        "tracked": dict(zip(("not_tracked", "inferred", "tracked"), states.tolist(), strict=True)),
    }
