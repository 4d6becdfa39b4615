"""Live streams of a server: many producers of frames, stepped together on one thread, and who watches them.

What comes in and goes out is told in `frame_lines`. Watchers get
    {"opened": {"stream": 1, "name": "camera"}}, {"closed": {"stream": 1, "name": "camera", "reason": "..."}}
    {"stream": 1, "bodies": [{"id": 7, "joints": [...], "states": "2212..."}], "answer": {...}}
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from action_indrnn import frame_lines
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dialogue import Dialogue, Whole
from action_indrnn.frame_lines import Frame
from action_indrnn.recognizer import Recognizer
from action_indrnn.streaming import FrameAnswers, Stream, feed_all

NAME_LIMIT = 60  # characters
WATCHER_QUEUE = 32  # messages, about a second of one stream; a watcher too slow for them loses the oldest
_DECIMALS = 4  # of metres


class LimitError(ValueError):
    """There is no place left; the message says for what."""


@dataclass(eq=False)
class Producer:
    """Somebody who sends frames.

    Attributes:
        number: its own, from 1.
        name: what it calls itself.
        dialogue: what it is answered.
    """

    number: int
    name: str
    dialogue: Dialogue


@dataclass(eq=False)
class Watcher:
    """Somebody who looks on.

    Attributes:
        waiting: what is to be sent.
        lost: messages that were dropped because it was too slow.
    """

    waiting: deque[str] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    lost: int = 0

    def put(self, text: str) -> None:
        """Have a message sent."""
        if len(self.waiting) == WATCHER_QUEUE:
            self.waiting.popleft()
            self.lost += 1
        self.waiting.append(text)
        self.ready.set()

    async def next(self) -> str:
        """The next message."""
        while not self.waiting:
            self.ready.clear()
            await self.ready.wait()
        return self.waiting.popleft()


def worker(name: str) -> ThreadPoolExecutor:
    """One thread for work with a network, with as many of torch's threads as this one has.

    OpenMP counts them anew in every thread: left alone, a small product wakes all cores and waits for them.
    """
    return ThreadPoolExecutor(1, name, torch.set_num_threads, (torch.get_num_threads(),))


@dataclass
class _Job:
    producer: Producer
    line: str | bytes
    done: Future[tuple[str | Whole, str | None]] = field(default_factory=Future)


class Live:
    """All producers and watchers.

    One thread does the work, so the event loop goes on meanwhile; frames that arrive while it works are
    stepped together in its next turn. Another one classifies whole clips, which no frame waits for.

    Args:
        recognizer: of the model.
        fresh: makes a stream of frames in a layout, or, without one, of the model's joints in metres.
        producers: most at once.
        watchers: most at once.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        fresh: Callable[[Layout | None], Stream],
        producers: int,
        watchers: int,
    ) -> None:
        self.recognizer, self.fresh = recognizer, fresh
        self.limits = producers, watchers
        self.producers: dict[int, Producer] = {}
        self.watchers: set[Watcher] = set()
        self._last = 0
        self._jobs: deque[_Job] = deque()
        self._thread = worker("live")
        self._clips = worker("live clips")

    def shut(self) -> None:
        """End the threads."""
        for thread in (self._thread, self._clips):
            thread.shutdown(wait=True, cancel_futures=True)

    def open(self, name: str, top: int, layout: Layout | None = None) -> Producer:
        """A new producer, who sends frames in a layout.

        Raises:
            LimitError: there are too many.
            ValueError: the network needs the whole clip, or the layout has no map to the model's.
        """
        if len(self.producers) >= self.limits[0]:
            raise LimitError(f"expected at most {self.limits[0]} streams at once, found more; try later")
        dialogue = Dialogue(self.recognizer, self.fresh(layout), top)
        self._last += 1
        producer = Producer(self._last, name[:NAME_LIMIT] or f"stream {self._last}", dialogue)
        self.producers[producer.number] = producer
        self._tell({"opened": _named(producer)})
        return producer

    def close(self, producer: Producer, reason: str) -> None:
        """Forget a producer."""
        del self.producers[producer.number]
        self._tell({"closed": {**_named(producer), "reason": reason}})

    def watch(self) -> Watcher:
        """A new watcher, who is first told which streams there are.

        Raises:
            LimitError: there are too many.
        """
        if len(self.watchers) >= self.limits[1]:
            raise LimitError(f"expected at most {self.limits[1]} watchers at once, found more; try later")
        watcher = Watcher()
        watcher.put(json.dumps({"streams": [_named(one) for one in self.producers.values()]}))
        self.watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self.watchers.discard(watcher)

    async def answer(self, producer: Producer, line: str | bytes) -> str:
        """The answer to a line, as JSON; watchers get it too. One line of a producer at a time."""
        job = _Job(producer, line)
        self._jobs.append(job)
        self._thread.submit(self._work)
        text, seen = await asyncio.wrap_future(job.done)
        if not isinstance(text, str):
            return json.dumps(await asyncio.get_running_loop().run_in_executor(self._clips, text))
        if seen is not None:
            for watcher in self.watchers:
                watcher.put(seen)
        return text

    def _tell(self, table: dict[str, Any]) -> None:
        for watcher in self.watchers:
            watcher.put(json.dumps(table))

    def _work(self) -> None:
        """Answer all that waits; runs on the thread."""
        jobs = []
        while self._jobs:
            jobs.append(self._jobs.popleft())
        try:
            for job, found in zip(jobs, self._step(jobs), strict=True):
                job.done.set_result(found)
        except BaseException as error:  # whoever waits must hear of it
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
            raise

    def _step(self, jobs: list[_Job]) -> list[tuple[str | Whole, str | None]]:
        """The answer to each line, and what watchers get, where it was a frame and somebody watches."""
        heard = [job.producer.dialogue.hear(_bytes(job.line)) for job in jobs]
        frames = [
            (job.producer.dialogue.stream, frame.bodies, frame.time)
            for job, frame in zip(jobs, heard, strict=True)
            if isinstance(frame, Frame)
        ]
        answers = iter(feed_all(frames) if frames else ())
        found: list[tuple[str | Whole, str | None]] = []
        for job, frame in zip(jobs, heard, strict=True):
            if not isinstance(frame, Frame):
                found.append((json.dumps(frame) if isinstance(frame, dict) else frame, None))
                continue
            answer = next(answers)
            own = job.producer.dialogue.answer(frame, answer)
            seen = _seen(job.producer, frame, answer) if self.watchers else None
            found.append((json.dumps(own), seen))
        return found


def _bytes(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")


def _seen(producer: Producer, frame: Frame, answer: FrameAnswers) -> str:
    """What watchers get of a frame: joints in metres, in the model's layout, and all classes."""
    stream, classes = producer.dialogue.stream, producer.dialogue.stream.card.classes
    bodies: list[dict[str, Any]] = []
    for name, joints in stream.mapped(frame.bodies).items():
        places = [round(value, _DECIMALS) for value in joints.ravel().tolist()]
        bodies.append({"id": name, "joints": places})
        if name in frame.states:
            states = frame.states[name] if stream.map is None else stream.map.states(frame.states[name])
            bodies[-1]["states"] = "".join(map(str, states))
    whole = {"line": producer.dialogue.line, **frame_lines.as_table(answer, classes, len(classes))}
    return json.dumps({"stream": producer.number, "bodies": bodies, "answer": whole})


def _named(producer: Producer) -> dict[str, Any]:
    return {"stream": producer.number, "name": producer.name}
