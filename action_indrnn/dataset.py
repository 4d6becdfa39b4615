"""Clips to batches: the frame sampler, the feature vectors.

Sampling and gathering are batched torch operations on whatever device holds the clips.

Shapes: N clips of a set, B clips in a batch, S sampled frames, M actors, V joints, C coordinates, F = M*V*C
features.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn import augment
from action_indrnn.config import Data
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.bodies import MOST_ACTORS
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import View, alignment, standing

Integers = NDArray[np.int64]
Where = Literal["auto", "device", "host"]
Sampling = Literal["segments", "whole", "every"]
HALF = 0.5  # of its frames both bodies of a clip are seen in, at least, where it is of two people


def draw_frames(frames: int, deviation: float, random: np.random.Generator) -> int:
    """How many frames to sample, about `frames`; exactly so many, and nothing drawn, with deviation 0.

    Source: the random length of IndRNN_pytorch (data_reader.py, `data_randtime_aug`): a normal number, drawn
    once more outside a quarter to twice of `frames`, and then given up.
    """
    for _ in range(2 if deviation else 0):
        count = int(random.normal(frames, deviation))
        if max(frames // 4, 1) <= count <= 2 * frames:
            return count
    return frames


def sample_frames(lengths: Tensor, frames: int, uniform: Tensor) -> Tensor:
    """Frame numbers to take from clips, by the rule of IndRNN_pytorch (action_recognition/data_reader.py).

    A clip of at least 2S frames is cut into S equal segments and one frame is drawn from each (the last takes
    the remainder); a shorter one gives a random window of S consecutive frames; one of at most S frames is
    laid into zeros from a random start, which may push its end, or a random part of it, out of the window.

    Args:
        lengths: (B,) frames of each clip, int64.
        frames: S, how many to take.
        uniform: (B, S + 1) random numbers in [0, 1), float64; float32 would draw frames behind the end.

    Returns:
        (B, S) frame numbers, -1 for a frame of zeros.
    """
    length = lengths[:, None]  # (B, 1)
    place = torch.arange(frames, device=lengths.device)  # (S,)
    segment = length // frames
    width = torch.where(place == frames - 1, length - segment * (frames - 1), segment)
    segments = place * segment + (uniform[:, :frames] * width).long()

    first = (uniform[:, :1] * (length - frames + 1)).long()
    window = first + place

    start = (uniform[:, :1] * (frames - length).clamp(min=max(frames // 4, 1))).long()
    over = (start + length - frames).clamp(min=0)
    skip = (uniform[:, -1:] * (over + 1)).long()
    at = place - start + skip
    laid = torch.where((place >= start) & (at < length), at, -1)

    return torch.where(length >= 2 * frames, segments, torch.where(length > frames, window, laid))


def even_shares(frames: int, uniform: Tensor) -> Tensor:
    """(B, S) places in even steps over a whole clip, 0 its first frame and 1 its last; the first is random.

    Args:
        frames: S.
        uniform: (B, S + 1) random numbers in [0, 1), of which the first of each row shifts its places.
    """
    return (torch.arange(frames, device=uniform.device) + uniform[:, :1]) / frames


@dataclass(frozen=True)
class Second:
    """How the second bodies of N clips become main actors, as which their own clips would show them.

    Attributes:
        two: (N,) whether a clip has two bodies, both seen in half of its frames or more; on no device.
        origin: (N, 3), of those, where the second stands in the clip as it is shown.
        turn: (N, 3, 3) what the clip is then turned and scaled by; see `data_prep.normalize.placement`.
    """

    two: NDArray[np.bool_]
    origin: Tensor
    turn: Tensor

    def to(self, device: torch.device) -> "Second":
        """The same in the memory of a device."""
        return Second(self.two, self.origin.to(device), self.turn.to(device))


@dataclass(frozen=True)
class Clips:
    """Clips as rows of joints, from a prepared set or from single recordings.

    Attributes:
        names: N clip names.
        rows: (R, V, C) float32, metres, NaN where an actor was not seen; see `data_prep.archive`.
        start, length, bodies: (N,) int64, first row, frames and actors of each clip; all on one device.
        turn: (N, 3, 3) what each clip's coordinates are turned and scaled by on their way out, if at all.
        held: (R,) int64, the row that stands for each, if not all stand for themselves.
        second: how second bodies become main actors, if ever.
        actors: M, how many bodies feature vectors have; of a clip of more the main actor comes first.
    """

    names: Sequence[str]
    rows: Tensor
    start: Tensor
    length: Tensor
    bodies: Tensor
    turn: Tensor | None = None
    held: Tensor | None = None
    second: Second | None = None
    actors: int = MOST_ACTORS

    @classmethod
    def of_set(cls, prepared: PreparedSet) -> "Clips":
        """All clips of a prepared set, memory-mapped."""
        # Copy on write: torch knows no read-only tensors; nothing is ever written here.
        rows = np.load(prepared.path / "joints.npy", mmap_mode="c").view(np.ndarray)
        names = prepared.index["name"].tolist()
        columns = (prepared.column(name) for name in ("start", "length", "bodies"))
        start, length, bodies = (torch.tensor(column) for column in columns)
        return cls(names, torch.from_numpy(rows), start, length, bodies)

    @classmethod
    def of_clips(cls, clips: Sequence[Clip]) -> "Clips":
        """Normalised clips of one joint layout."""
        rows = [
            np.where(clip.present[..., None, None], clip.joints, np.float32(np.nan)).reshape(
                -1, *clip.joints.shape[2:]
            )
            for clip in clips
        ]
        counts = np.array([len(row) for row in rows], np.int64)
        shapes = np.array([clip.present.shape for clip in clips], np.int64)
        columns = (np.cumsum(counts) - counts, shapes[:, 1], shapes[:, 0])
        start, length, bodies = (torch.tensor(column) for column in columns)
        names = [clip.name for clip in clips]
        return cls(names, torch.from_numpy(np.concatenate(rows)), start, length, bodies)

    @property
    def features(self) -> int:
        """F, the numbers in one frame's feature vector."""
        return self.actors * self.rows[0].numel()

    @property
    def bytes(self) -> int:
        """The memory that all joints take."""
        return self.rows.numel() * self.rows.element_size()

    def near(self, device: torch.device, where: Where = "auto") -> "Clips":
        """The same clips for work on a device: in its memory, or where they are.

        Args:
            device: where batches are wanted.
            where: "device" holds them in its memory; "host" leaves them where they are (a prepared set:
                mapped; the CPU makes each batch and sends it); "auto" holds them where they take at most half
                of a CUDA device's free memory. For the CPU it leaves them mapped: the system keeps what is
                read in memory anyway.
        """
        if where == "auto":
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
            where = "device" if self.bytes <= free // 2 else "host"
        if where == "host":
            return self
        tensors = (self.rows, self.start, self.length, self.bodies)
        rows, start, length, bodies = (tensor.to(device, copy=True) for tensor in tensors)
        turn, held = (None if kept is None else kept.to(device, copy=True) for kept in (self.turn, self.held))
        second = None if self.second is None else self.second.to(device)
        return Clips(self.names, rows, start, length, bodies, turn, held, second, self.actors)

    def shown_as(
        self, data: Data, layout: Layout, second: View | None = None, actors: int = MOST_ACTORS
    ) -> "Clips":
        """The same clips, with `data.align` turned and scaled, with `data.hold` without gaps.

        The main actor then faces the camera, in the size of all, when first seen; see
        `data_prep.normalize.alignment`. A clip without the main actor stays as it is. A body that is not seen
        for a while stays where it was seen last; before it is first seen it is absent all the same.

        Args:
            data: settings.
            layout: of the joints.
            second: the clips' view, where `exchanged` is to make second bodies main actors.
            actors: M, how many bodies are wanted of each.
        """
        clips = replace(self, actors=actors)
        clips = replace(clips, held=clips._last_seen()) if data.hold else clips
        clips = clips._aligned(layout) if data.align else clips
        return clips if second is None else clips._with_second(layout, second, align=data.align)

    def _last_seen(self) -> Tensor:
        """(R,) where each row's body was seen last in its clip: a row; the row itself before it ever was."""
        count = len(self.rows)
        row = torch.arange(count)
        first = torch.zeros(count, dtype=torch.int64)  # of the same body in the same clip
        for body in range(MOST_ACTORS):
            begins = (self.start + body * self.length)[self.bodies > body]
            first[begins] = begins
        first = first.cummax(dim=0).values
        seen = torch.where(self.rows[:, 0, 0].isnan(), -1, row).cummax(dim=0).values
        return torch.where(seen < first, row, seen)

    def _aligned(self, layout: Layout) -> "Clips":
        turns = np.tile(np.eye(3, dtype=np.float32), (len(self.names), 1, 1))
        for number, (start, length) in enumerate(zip(self.start.tolist(), self.length.tolist(), strict=True)):
            actor = self.rows[start : start + length].numpy()
            seen = np.flatnonzero(~np.isnan(actor[:, layout.centre, 0]))
            if len(seen):
                turns[number] = alignment(actor[seen[0]], layout)
        return replace(self, turn=torch.from_numpy(turns))

    def _with_second(self, layout: Layout, view: View, *, align: bool) -> "Clips":
        two = np.zeros(len(self.names), bool)
        origins, turns = torch.zeros(len(two), 3), torch.eye(3).repeat(len(two), 1, 1)
        start, length = self.start.tolist(), self.length.tolist()
        for number in ((self.bodies == MOST_ACTORS) & (self.actors > 1)).nonzero().flatten().tolist():
            end = start[number] + MOST_ACTORS * length[number]
            points = self.rows[start[number] : end].view(MOST_ACTORS, -1, *self.rows.shape[1:])
            seen = ~points[:, :, layout.centre, 0].isnan()  # (M, T)
            if (seen.float().mean(dim=1) < HALF).any():
                continue
            poses = points[1, seen[1]]
            if self.turn is not None:
                flat = augment.mapped(poses.flatten(1)[:, None], self.turn[number : number + 1])
                poses = flat.view(poses.shape)
            origin, turn = standing(poses.numpy(), layout, view, align)
            two[number], origins[number] = True, torch.from_numpy(origin)
            if turn is not None:
                turns[number] = torch.from_numpy(turn)
        return replace(self, second=Second(two, origins, turns))

    def exchanged(self, x: Tensor, numbers: Integers, chosen: NDArray[np.bool_]) -> Tensor:
        """Feature vectors (S, B, F) in some of which the second of two bodies is the main actor.

        Args:
            x: of clips as `sample` gives them.
            numbers: (B,) of these clips.
            chosen: (B,) which of them, where they are of two people at all.
        """
        if not chosen.any():
            return x
        second = self.second
        assert second is not None, "clips shown without `second`"
        wanted = second.two[numbers] & chosen
        if not wanted.any():  # as in every batch of a set of single persons
            return x
        some, those = (torch.from_numpy(column).to(x.device) for column in (numbers, wanted))
        return augment.exchange(x, those, second.origin[some], second.turn[some])

    def sample(
        self,
        numbers: Integers,
        frames: int,
        uniform: NDArray[np.float64],
        sampling: Sampling = "segments",
    ) -> Tensor:
        """Feature vectors of S sampled frames a clip, (S, B, F); see `batch`.

        Args:
            numbers: (B,) clip numbers.
            frames: S, how many to take.
            uniform: (B, S + 1) random numbers in [0, 1).
            sampling: "segments" by `sample_frames`, "whole" by `even_shares`.
        """
        device = self.rows.device
        clips = torch.from_numpy(numbers).to(device, non_blocking=True)
        random = torch.from_numpy(uniform).to(device, non_blocking=True)
        places = self.places(clips, frames, random, sampling)
        return self.between(clips, places) if sampling == "whole" else self.batch(clips, places)

    def places(self, numbers: Tensor, frames: int, uniform: Tensor, sampling: Sampling) -> Tensor:
        """(B, S) what `sample` shows of clips: frame numbers, -1 for a frame of zeros; "whole" float ones."""
        if sampling == "whole":
            return even_shares(frames, uniform) * (self.length[numbers, None] - 1)
        return sample_frames(self.length[numbers], frames, uniform)

    def batch(self, numbers: Tensor, frames: Tensor) -> Tensor:
        """Feature vectors of chosen frames.

        Args:
            numbers: (B,) clip numbers, int64.
            frames: (B, S) frame numbers, int64, -1 for a frame of zeros.

        Returns:
            (S, B, F) float32: actor 1's joints, then actor 2's, joint by joint; zeros where nobody was seen.
        """
        return self._turned(self._recorded(numbers, frames), numbers)

    def _turned(self, x: Tensor, numbers: Tensor) -> Tensor:
        """Feature vectors (S, B, F) of clips (B,), turned where clips are."""
        return x if self.turn is None else augment.mapped(x, self.turn[numbers])

    def _recorded(self, numbers: Tensor, frames: Tensor) -> Tensor:
        """`batch` before clips are turned."""
        actors = torch.arange(self.actors, device=self.rows.device)
        steps = frames.t()[..., None]  # (S, B, 1)
        rows = self.start[numbers, None] + actors * self.length[numbers, None] + steps  # (S, B, M)
        valid = (actors < self.bodies[numbers, None]) & (steps >= 0)
        chosen = torch.where(valid, rows, 0).flatten()
        if self.held is not None:
            chosen = self.held.index_select(0, chosen)
        joints = self.rows.flatten(1).index_select(0, chosen)
        joints = joints.masked_fill_(~valid.flatten()[:, None], 0).nan_to_num_(nan=0.0)
        return joints.view(*rows.shape[:2], -1)

    def between(self, numbers: Tensor, places: Tensor) -> Tensor:
        """Feature vectors (S, B, F) at places between frames, joints on the line from one to the next.

        Where a body is seen in one of the two frames only, those of the nearer frame are taken.

        Args:
            numbers: (B,) clip numbers, int64.
            places: (B, S) in frames, from 0 to a clip's length - 1.
        """
        floor = places.floor()
        frame = floor.long()
        later = torch.minimum(frame + 1, self.length[numbers, None] - 1)
        bodies = (len(frame[0]), len(numbers), self.actors, -1)
        before, after = (self._recorded(numbers, at).view(bodies) for at in (frame, later))
        share = (places - floor).t()[..., None, None].to(before.dtype)  # (S, B, 1, 1)
        both = (before != 0).any(dim=3, keepdim=True) & (after != 0).any(dim=3, keepdim=True)
        nearer = torch.where(share < 0.5, before, after)
        return self._turned(torch.where(both, torch.lerp(before, after, share), nearer).flatten(2), numbers)

    def uniform(self, numbers: Integers, passes: int, frames: int, seed: int) -> NDArray[np.float64]:
        """(passes, B, S + 1) random numbers for evaluation, each clip's own by its name.

        A clip's score then does not depend on which other clips are evaluated, or in what order.
        """
        generators = [
            np.random.default_rng([seed, zlib.crc32(self.names[number].encode())]) for number in numbers
        ]
        return np.stack([generator.random((passes, frames + 1)) for generator in generators], axis=1)
