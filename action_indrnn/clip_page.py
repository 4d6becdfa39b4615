"""What the page shows of a clip: its actors frame by frame, the verdict, and how that came about.

Shapes: M bodies, T frames, V joints, K classes, P passes, S sampled frames.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from action_indrnn import evaluation, every_frame
from action_indrnn.data_prep import clip_file, skeleton_file
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import normalize
from action_indrnn.data_prep.sources import Source
from action_indrnn.dataset import Clips, even_shares, sample_frames
from action_indrnn.picture import Film
from action_indrnn.recognizer import Recognizer

FRAMES_LIMIT = 9_000  # five minutes at 30 frames a second; NTU's longest clip has 300
_DECIMALS = 7  # of metres: sent back as live frames, they are the clip that they were


@dataclass(frozen=True)
class Upload(Source):
    """A file that came over the wire; errors call it by its name.

    Attributes:
        content: its bytes.
    """

    content: bytes = b""

    def read(self) -> bytes:
        """The recording's bytes."""
        return self.content


def upload(name: str, content: bytes) -> Upload:
    """The source of an uploaded file; folders in the name are dropped.

    Raises:
        ClipError: its suffix is none of a clip file.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    if not clip_file.WANTED.fullmatch(last):
        expected = f"a clip file {', '.join(clip_file.SUFFIXES)}"
        raise ClipError(f"{last or 'the file'}: expected {expected}, found another name")
    return Upload(Path(last), content=content)


def table(
    recognizer: Recognizer, source: Upload, recorded: Layout | None = None, rate: float = 30.0
) -> dict[str, Any]:
    """What the page shows, as JSON's types.

    The verdict is that of `classify`; the curve's last row is the verdict, its other rows are what the same
    passes say after each frame.

    Args:
        recognizer: of the model.
        source: the clip.
        recorded: the file's joint layout, where it is not the model's but has a map to it.
        rate: frames a second, at which the page plays.

    Raises:
        ClipError: no clip, not one of the model's joints, or too long.
    """
    clip = recognizer.read(source, recorded)
    frames = clip.present.shape[1]
    if frames > FRAMES_LIMIT:
        raise ClipError(f"{source}: expected at most {FRAMES_LIMIT:,} frames, found {frames:,}")
    verdict = recognizer.classify(clip)
    states = _states(recognizer, clip, source)
    return {
        "name": clip.name,
        "file": str(source),
        "frames": frames,
        "rate": rate,
        "bodies": [
            {
                "joints": [
                    np.round(pose.ravel().astype(np.float64), _DECIMALS).tolist() if there else None
                    for pose, there in zip(poses, present.tolist(), strict=True)
                ],
                "states": states and states[body],
            }
            for body, (poses, present) in enumerate(zip(clip.joints, clip.present, strict=True))
        ],
        "verdict": verdict.probabilities.tolist(),
        "curve": _rounded(curve(recognizer, clip)) if recognizer.model.causal else None,
        "doubts": recognizer.doubts(clip),
    }


def _states(recognizer: Recognizer, clip: Clip, source: Upload) -> list[list[str]] | None:
    """Each body's tracking states, V digits a frame; none where the file has none, or joints were moved."""
    if source.path.suffix.lower() != ".skeleton" or recognizer.card.recipe != "tracks":
        return None
    recording = skeleton_file.parse(source.read(), str(source))
    states = Film.of_clip(clip, clip.name, recording).states
    return [["".join(map(str, row)) for row in body] for body in states.tolist()]


def _rounded(shares: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in np.round(shares, 6).tolist()]


@torch.inference_mode()
def curve(recognizer: Recognizer, clip: Clip) -> NDArray[np.float64]:
    """Probabilities after each frame, (T, K): the mean of what the evaluation's passes say by then.

    A pass sees the frames that it has drawn for the verdict, each when its time comes (a place between two
    frames with the later one); zeros laid around a clip too short come with its first and its last frame. NaN
    before the first frame that any pass has drawn.

    Args:
        recognizer: of a causal network.
        clip: not yet normalised.
    """
    settings, card = recognizer.card.config, recognizer.card
    clips = recognizer.shown(Clips.of_clips([normalize(clip, card.layout(), card.view)]))
    if settings.detects:
        return _every_frame(recognizer, clips)
    frames = clip.present.shape[1]
    passes = settings.evaluate.passes
    lengths = evaluation.pass_lengths(settings.data.frames, settings.data.frames_deviation, passes)
    drawn = clips.uniform(np.zeros(1, np.int64), passes, int(lengths.max()), evaluation.SEED)[:, 0]
    others = evaluation.exchanged_passes(passes, settings.evaluate.exchange)
    device = next(recognizer.model.parameters()).device
    total = np.zeros((frames, recognizer.model.classes))
    count = np.zeros(frames, np.int64)
    for length in np.unique(lengths).tolist():
        uniform = torch.from_numpy(drawn[lengths == length, : length + 1])
        number = torch.zeros(len(uniform), dtype=torch.int64)
        if settings.data.sampling == "whole":
            places = even_shares(length, uniform) * (frames - 1)  # (P, S)
            x, when = clips.between(number, places), places.ceil().long().numpy()
        else:
            chosen = sample_frames(clips.length[number], length, uniform)  # (P, S)
            x, when = clips.batch(number, chosen), _times(chosen.numpy(), frames)
        x = clips.exchanged(x, number.numpy(), others[lengths == length]).to(device)
        logits = np.empty((length, len(uniform), recognizer.model.classes), np.float32)
        state = None
        for step in range(length):
            found, state = recognizer.model(x[step : step + 1], state)
            logits[step] = found.cpu().numpy()
        for row, times in enumerate(when):
            last = np.searchsorted(times, np.arange(frames), side="right") - 1  # step before each frame's end
            seen = last >= 0
            total[seen] += logits[last[seen], row]
            count += seen
    mean = np.full_like(total, np.nan)
    np.divide(total, count[:, None], out=mean, where=count[:, None] > 0)
    powers = np.exp(mean - mean.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _every_frame(recognizer: Recognizer, clips: Clips) -> NDArray[np.float64]:
    """(T, K) of a network that detects actions: the mean over the frames so far."""
    card, device = recognizer.card, next(recognizer.model.parameters()).device
    follow = card.config.data.follow
    ((_, x, _),) = every_frame.batches(clips, np.zeros(1, np.int64), card.layout(), follow, 1)
    means = every_frame.running_means(recognizer.model(x.to(device), every=True)[0])[:, 0]
    shares: NDArray[np.float64] = torch.softmax(means.double(), dim=1).cpu().numpy()
    return shares


def _times(chosen: NDArray[np.int64], frames: int) -> NDArray[np.int64]:
    """The frame at which each sampled one (P, S) is seen: its own; for zeros the first or the last."""
    begun = np.maximum.accumulate(chosen >= 0, axis=1)
    return np.where(chosen >= 0, chosen, np.where(begun, frames - 1, 0))
