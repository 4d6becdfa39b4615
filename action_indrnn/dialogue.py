"""What a sender of lines is answered, frame by frame and for whole clips; and recordings as frames."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from action_indrnn.clip_recorder import ClipRecorder
from action_indrnn.data_prep import skeleton_file
from action_indrnn.data_prep.clip import Clip, Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.sources import Source
from action_indrnn.frame_lines import Frame, LineError, Mark, Readable, as_table, leaders, lines, parse
from action_indrnn.live_frames import FrameError
from action_indrnn.people import Bodies, BodyId
from action_indrnn.recognizer import Recognizer
from action_indrnn.streaming import FrameAnswers, Stream

Whole = Callable[[], dict[str, Any]]  # says what a clip shows; it takes longer than a frame
_NO_LOCK = nullcontext()


class Dialogue:
    """One sender of lines.

    Args:
        recognizer: says what whole clips show.
        stream: a fresh one, of the same model.
        top: actions to name.
        lock: held while the network computes, where several share it.

    Attributes:
        line: number of the last line that was heard.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        stream: Stream,
        top: int,
        lock: AbstractContextManager[object] = _NO_LOCK,
    ) -> None:
        self.recognizer, self.stream, self.top, self.lock = recognizer, stream, top, lock
        self.line = 0
        self._recorder: ClipRecorder | None = None

    def hear(self, line: bytes | None, number: int = 0) -> Frame | Whole | dict[str, Any]:
        """The frame in a line, which the stream takes; or the answer, or where a clip ends what gives it.

        Args:
            line: none for one that was too long.
            number: of the line; one more than the last if not given.
        """
        self.line = number or self.line + 1
        try:
            found = parse(line, self.stream.recorded)
            if isinstance(found, Mark):
                return self._mark(found)
            self.stream.check(found.bodies, found.time)
        except FrameError as error:
            return self._wrong(LineError.of(error))
        except LineError as error:
            return self._wrong(error)
        return found

    def answer(self, frame: Frame, found: FrameAnswers) -> dict[str, Any]:
        """The answer to a frame, as JSON's types."""
        if self._recorder is not None and not found.late:
            self._recorder.add(frame.bodies)
        return {"line": self.line, **as_table(found, self.stream.card.classes, self.top)}

    def _wrong(self, error: LineError) -> dict[str, Any]:
        return {"line": self.line, "field": error.field, "error": str(error)}

    def _mark(self, mark: Mark) -> Whole | dict[str, Any]:
        """The answer where a clip begins, and what gives it where one ends.

        Raises:
            LineError: none has begun.
        """
        if mark.begins:
            self.stream.reset()
            recorded = None if self.stream.map is None else self.stream.recorded
            self._recorder = ClipRecorder(recorded, self.stream.layout, mark.name, mark.bodies)
            return {"line": self.line, "clip": "begin"}
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            raise LineError("clip", 'expected {"clip": "begin"} before the end, found none')
        return partial(self._end, recorder)

    def _end(self, recorder: ClipRecorder) -> dict[str, Any]:
        """The answer to a clip."""
        try:
            clip = recorder.clip()
            with self.lock:
                return {"line": self.line, **_whole(self.recognizer, clip, self.top)}
        except ValueError as error:
            return self._wrong(LineError("clip", str(error)))


def _whole(recognizer: Recognizer, clip: Clip, top: int) -> dict[str, Any]:
    """What `classify` says of a clip, as JSON's types."""
    verdict = recognizer.classify(clip)
    frames = clip.present.shape[1]
    return {"clip": "end", "frames": frames, "top": leaders(verdict.probabilities, verdict.classes, top)}


def answer(source: Readable, write: Callable[[str], object], dialogue: Dialogue) -> int:
    """Answers every line of the source with one line, flushed by `write`; the number of bad lines.

    Args:
        source: frames.
        write: takes a line with its end.
        dialogue: a fresh one.
    """
    bad = 0
    for number, line in lines(source):
        found = dialogue.hear(line, number)
        if isinstance(found, Frame):
            with dialogue.lock:
                answers = dialogue.stream.feed(found.bodies, found.time)
            found = dialogue.answer(found, answers)
        elif callable(found):
            found = found()
        bad += "error" in found
        write(json.dumps(found) + "\n")
    return bad


def replay(
    recognizer: Recognizer,
    source: Source,
    recorded: Layout | None,
    write: Callable[[str], object],
    stream: Stream,
    top: int,
    speed: float,
) -> None:
    """Answers every frame of a clip file with a line, and in the end the whole clip, as `classify` does.

    Args:
        recognizer: of the model.
        source: the file.
        recorded: its joint layout, where it is not the model's.
        write: takes a line with its end.
        stream: a fresh one, of the model's joints in metres.
        top: actions to name.
        speed: times the frame rate; 0 for at once.

    Raises:
        ClipError: damaged, or of other joints; names the file.
        OSError: it cannot be read.
    """
    clip = recognizer.read(source, recorded)
    frames = _frames(clip, source)
    started = time.monotonic()
    for number, bodies in enumerate(frames):
        stamp = number / stream.settings.rate
        if speed:
            time.sleep(max(0.0, started + stamp / speed - time.monotonic()))
        table = as_table(stream.feed(bodies, stamp), stream.card.classes, top)
        write(json.dumps({"line": number + 1, **table}) + "\n")
    write(json.dumps({"line": len(frames) + 1, **_whole(recognizer, clip, top)}) + "\n")


def _frames(clip: Clip, source: Source) -> Sequence[Bodies]:
    """The bodies in each frame: of a `.skeleton` file all that the sensor saw, else the clip's actors."""
    if source.path.suffix.lower() != ".skeleton":
        return [
            {actor: own[frame] for actor, own in enumerate(clip.joints) if clip.present[actor, frame]}
            for frame in range(clip.present.shape[1])
        ]
    recording = skeleton_file.parse(source.read(), str(source))
    frames: list[dict[BodyId, Floats]] = [{} for _ in range(recording.frame_count)]
    for track in recording.values():
        for frame, joints in zip(track.frames.tolist(), track.joints, strict=True):
            frames[frame][track.body_id] = joints
    return frames
