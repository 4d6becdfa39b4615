"""How long a frame takes: one step of a network in several ways, beside running a window of frames anew.

Contenders of a number of streams take turns, so that a machine whose speed drifts slows all alike.
"""

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from action_indrnn import __version__, models
from action_indrnn.checkpoint import Card
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.recognizer import Recognizer
from action_indrnn.streaming import feed_all

STREAMS = (1, 10, 100, 1000)
WINDOW = 64  # frames that the alternative runs anew for every frame
CLASSES = 60
TURNS = 10
Call = Callable[[], object]


def run(config: Config, streams: Iterable[int], seconds: float, threads: int) -> Iterator[str]:
    """Yields a table line by line: median and 99th percentile, microseconds for a frame of all streams."""
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
    recognizer = Recognizer(models.build(config, features, CLASSES, joint_layout).eval(), card)
    exported = None
    if all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        from action_indrnn import onnx_step

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "step.onnx"
            onnx_step.export(recognizer.model, card, out)
            exported = out.read_bytes()
    yield f"{'streams':>7} {'contender':<24} {'median':>10} {'p99':>10} {'frames/s':>10}"
    for count in streams:
        contenders = _contenders(recognizer, count, exported, threads)
        times: dict[str, list[float]] = {name: [] for name in contenders}
        with torch.inference_mode():
            for call in contenders.values():
                call()
                call()
            for _ in range(TURNS):
                for name, call in contenders.items():
                    times[name] += _turn(call, seconds / TURNS)
        for name, found in times.items():
            middle, slow = 1e6 * np.percentile(found, (50, 99))
            yield f"{count:>7} {name:<24} {middle:>10.0f} {slow:>10.0f} {1e6 * count / middle:>10.0f}"


def _turn(call: Call, seconds: float) -> list[float]:
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


def _contenders(recognizer: Recognizer, count: int, exported: bytes | None, threads: int) -> dict[str, Call]:
    step, model = recognizer.step, recognizer.model
    x = torch.randn(count, recognizer.card.features)
    state = torch.zeros(count, step.width)
    rows = state.unbind()
    parts = tuple(part.contiguous() for part in torch.split(state, step.units, dim=1))
    compiled = torch.compile(model, dynamic=False)
    window = torch.randn(WINDOW, count, recognizer.card.features)
    random = np.random.default_rng(0)
    joints = random.normal(0, 0.5, (16, len(recognizer.card.joint_layout["joints"]), 3)).astype(np.float32)
    streams = [recognizer.stream() for _ in range(count)]
    number = iter(range(10**9))

    def whole() -> object:
        pose = joints[next(number) % 16]
        return feed_all([(stream, {1: pose}, None) for stream in streams])

    def one() -> object:
        state.zero_()  # what was trained is 20 frames; numbers that grow to infinity would be slower
        return step.advance(x, rows)

    contenders: dict[str, Call] = {
        "step": one,
        "stream, frame to answer": whole,
        "torch, eager": lambda: model(x[None], parts),
        "torch, compiled": lambda: compiled(x[None], parts),
        f"window of {WINDOW}, eager": lambda: model(window),
    }
    if exported is not None:
        from action_indrnn import onnx_step

        session = onnx_step.session(exported, threads)
        given = {"features": x.numpy(), "state": np.zeros((count, step.width), np.float32)}
        contenders["onnxruntime"] = lambda: session.run(None, given)
    return contenders
