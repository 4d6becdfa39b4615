"""How long a live frame takes, from its joints to its answer, beside other ways to compute the same.

Contenders of a number of streams take turns, so that a machine whose speed drifts slows all alike. They share
the streams: only what steps the network changes. Each stream shows one person.
"""

import importlib.util
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from action_indrnn import __version__, models
from action_indrnn.checkpoint import Card
from action_indrnn.classifier import Classifier
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.clip import Floats
from action_indrnn.people import BodyId
from action_indrnn.recognizer import Recognizer
from action_indrnn.scene import RATE
from action_indrnn.step import Step
from action_indrnn.streaming import feed_all

STREAMS = (1, 10, 100, 1000)
WINDOW = 64  # frames that the alternative runs anew for every frame
CLASSES = 60
TURNS = 5
Call = Callable[[], object]


class _RuntimeStep(Step):
    """The step in onnxruntime."""

    def __init__(self, model: Classifier, session: Any) -> None:
        super().__init__(model)
        self.session = session

    def advance(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        given = {"features": x.numpy(), "state": torch.stack(tuple(states)).numpy()}
        logits, after = self.session.run(None, given)
        for one, new in zip(states, torch.from_numpy(after), strict=True):
            one.copy_(new)
        return torch.from_numpy(logits)


def recognizer(config: Config) -> Recognizer:
    """A recogniser with weights as they are drawn, of two actors of 25 joints."""
    torch.manual_seed(0)
    joint_layout = layout.load("ntu25")
    features = 2 * 3 * len(joint_layout.joints)
    card = Card(
        program=f"action-indrnn {__version__}",
        config=config,
        dataset="none",
        protocol="none",
        whole=False,
        classes=tuple(f"action {number}" for number in range(CLASSES)),
        features=features,
        view="camera",
        joint_layout=joint_layout.table(),
        seed=0,
        epochs=0,
        clips=(0, 0, 0),
        held_out="",
    )
    return Recognizer(models.build(config, features, CLASSES, joint_layout).eval(), card)


def run(config: Config, streams: Iterable[int], seconds: float, threads: int) -> Iterator[str]:
    """Yields a table line by line: microseconds for one frame of all streams, and what they come to.

    CPU is the processor's time in the median, of all threads: a busy machine's clock tells more of others.
    """
    network = recognizer(config)
    grid = network.stream().scene.grid
    yield f"step: {network.step.way}"
    yield f"a frame is {grid.windows} row{'s' * (grid.windows > 1)} a stream: " + (
        "its state goes on for ever, there are no windows"
        if grid.endless
        else f"{grid.windows} staggered windows of {grid.steps} steps over {grid.length / RATE:.1f} s"
    )
    contenders, missing = _steps(network, threads)
    yield from missing
    yield (
        f"{'streams':>7} {'frame to answer':<28} {'median':>9} {'p99':>9} {'max':>9} "
        f"{'CPU':>9} {'frames':>7} {'frames/s':>9} {'streams of 30/s':>15}"
    )
    for count in streams:
        calls = _calls(network, count, contenders)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for call in calls.values():
            call()
            call()
        for _ in range(TURNS):
            for name, call in calls.items():
                times[name] += _turn(call, seconds / TURNS)
        for name, found in times.items():
            wall, spent = 1e6 * np.array(found).T
            middle, slow, worst = np.percentile(wall, (50, 99, 100))
            rate = 1e6 * count / middle
            yield (
                f"{count:>7} {name:<28} {middle:>9.0f} {slow:>9.0f} {worst:>9.0f} "
                f"{np.median(spent):>9.0f} {len(found):>7} {rate:>9.0f} {rate / RATE:>15.0f}"
            )


def _turn(call: Call, seconds: float) -> list[tuple[float, float]]:
    """Seconds on the clock and of the processor, of every call."""
    found: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        started, spent = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - started, time.process_time() - spent))
    return found


def _steps(network: Recognizer, threads: int) -> tuple[dict[str, Step], list[str]]:
    """What steps the network, by name, and lines about what is missing."""
    found, missing = {"this program": network.step, "torch, eager": Step(network.model)}, []
    if any(map(shutil.which, ("c++", "g++", "clang++"))):
        compiled = Step(network.model)
        compiled.model = cast(Classifier, torch.compile(network.model, dynamic=False))
        found["torch, compiled"] = compiled
    else:
        missing.append("torch, compiled: left out, there is no C++ compiler")
    if all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        from action_indrnn import onnx_step

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "step.onnx"
            onnx_step.export(network.model, network.card, out)
            session = onnx_step.session(out.read_bytes(), threads)
        found["onnxruntime"] = _RuntimeStep(network.model, session)
    else:
        missing.append('onnxruntime: left out, it is in the extra "export"')
    return found, missing


def _calls(network: Recognizer, count: int, contenders: dict[str, Step]) -> dict[str, Call]:
    joints = _poses()
    streams = [network.stream() for _ in range(count)]
    number = iter(range(10**9))

    def whole(step: Step) -> object:
        streams[0].step = step
        pose = joints[next(number) % len(joints)]
        return feed_all([(stream, {1: pose}, None) for stream in streams])

    for _ in range(streams[0].scene.grid.length):
        whole(network.step)  # until all windows step
    calls: dict[str, Call] = {name: lambda step=step: whole(step) for name, step in contenders.items()}  # type: ignore[misc]
    calls[f"window of {WINDOW}, eager"] = _window(network, count)
    rows = torch.zeros(2 * count, network.step.width)
    x, states = torch.randn(2 * count, network.card.features), rows.unbind()

    def bare() -> object:
        rows.zero_()  # what was trained is 20 frames; numbers that grow to infinity would be slower
        return network.step.advance(x, states)

    return calls | {"this program, network alone": bare}


def _window(network: Recognizer, count: int) -> Call:
    """The alternative without a state: the last frames of every stream, seen from their first, run anew."""
    joints = _poses()
    centre = network.card.layout().centre
    frames = np.tile(joints, (WINDOW // len(joints), 1, 1))[:, None].repeat(count, axis=1)  # (T, B, V, 3)
    number = iter(range(10**9))

    def call() -> object:
        frames[:-1] = frames[1:]
        frames[-1] = joints[next(number) % len(joints)]
        x = np.zeros((WINDOW, count, network.card.features), np.float32)
        x[:, :, : 3 * joints.shape[1]] = (frames - frames[0, :, centre, None]).reshape(WINDOW, count, -1)
        with torch.inference_mode():
            return network.model(torch.from_numpy(x))[0].softmax(dim=1).numpy()

    return call


def _poses() -> Floats:
    joints = len(layout.load("ntu25").joints)
    return np.random.default_rng(0).normal(0, 0.5, (16, joints, 3)).astype(np.float32)


def memory(config: Config, frames: int) -> Iterator[str]:
    """Yields how the peak memory grows while one stream runs: persons come, go and change their ids."""
    network = recognizer(config)
    stream, joints = network.stream(), _poses()
    places = np.random.default_rng(1).uniform(-4, 4, (512, 3)).astype(np.float32)
    marks = {max(1, frames * tenth // 10) for tenth in range(1, 11)}
    first = 0
    for frame in range(1, frames + 1):
        bodies: dict[BodyId, Floats] = {frame // 300: joints[frame % 16] + places[frame // 900 % 512]}
        if frame % 1000 < 400:
            bodies[-1 - frame // 200] = joints[frame % 16] + places[frame // 200 % 512]
        stream.feed(bodies, frame / RATE + 3.0 * (frame // 50_000))  # with a long gap now and then
        if frame in marks:
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
            first = first or now
            yield f"{frame:>9} frames  peak memory {now / 1024:8.1f} MiB  {(now - first):+6d} KiB"
