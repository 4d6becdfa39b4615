"""One frame's step of a network as ONNX, for programs without torch.

    inputs   features (B, F) float32, actor after actor, joint after joint; state (B, N), zeros at first
    outputs  logits (B, K), state_after (B, N), which is the next frame's state

The file's metadata says classes, joints, normalisation, and how many frames a clip is sampled to.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from action_indrnn.checkpoint import Card, replacing
from action_indrnn.classifier import Classifier
from action_indrnn.data_prep import normalize
from action_indrnn.layers import IndRNN
from action_indrnn.step import check_causal
from action_indrnn.step import of as step_of

FRAMES = 300  # one after another, over which the exported step is checked
TOLERANCE = 1e-4  # of a frame's largest logit; float32 sums in another order differ by about 1e-6 all the way
BATCHES = (1, 3)  # of the check: the file holds any
EXTRA = 'expected the packages of the extra "export": pip install "action-indrnn[export]"'


class _OneStep(IndRNN):
    """The recurrence of one step, in operations that ONNX knows."""

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert h0 is not None
        z = x[0] + self.u * h0
        h = {"relu": torch.relu, "tanh": torch.tanh, "identity": torch.clone}[self.activation](z)
        return h[None], h


class _OneFrame(nn.Module):
    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.units = [module.units for module in model.memories()]
        for module in self.model.recurrences():
            module.__class__ = _OneStep  # the kernels' own operator is none of ONNX

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, after = self.model(features[None], torch.split(state, self.units, dim=1))
        return logits, torch.cat(after, dim=1)


def export(model: Classifier, card: Card, out: Path) -> tuple[float, int]:
    """Writes the step; how far it is from torch, and over how many chained frames: see `_difference`.

    Raises:
        ValueError: the network or its view needs the whole clip, packages are missing, or the file does not
            agree.
    """
    check_causal(model)
    normalize.check_causal(card.view)
    try:
        import onnx
        import onnxruntime  # noqa: F401  # checks the file
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise ValueError(f"{EXTRA}; found no {error.name}") from error
    model = model.eval()
    one = _OneFrame(model).eval()
    batch = {0: torch.export.Dim("batch", min=1)}, {0: torch.export.Dim.DYNAMIC}  # one name for what is one
    example = torch.zeros(2, card.features), torch.zeros(2, sum(one.units))
    with _without_asides():
        program = torch.onnx.export(
            one,
            example,
            dynamo=True,
            input_names=["features", "state"],
            output_names=["logits", "state_after"],
            dynamic_shapes=batch,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    description = {
        "classes": card.classes,
        "joints": card.joint_layout["joints"],
        "view": card.view,
        "align": card.config.data.align,
        "hold": card.config.data.hold,
        "exchange": card.config.evaluate.exchange,
        "frames": card.config.data.frames,
        "clip_frames": card.clip_frames,
        "program": card.program,
    }
    for key, value in description.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    difference, frames = _difference(model, content)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{out}: expected torch's logits within {TOLERANCE:g} of a frame's largest, "
            f"found a difference of {difference:.1e}"
        )
    with replacing(out) as partial:
        partial.write_bytes(content)
    return difference, frames


@contextmanager
def _without_asides() -> Iterator[None]:
    """Leaves out two things that torch 2.13's exporter says of itself: no torchvision, an old word inside."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is", FutureWarning)
            yield
    finally:
        registry.setLevel(level)


def session(content: bytes, threads: int = 1) -> Any:
    """An onnxruntime session of the file's content on a CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _difference(model: Classifier, content: bytes) -> tuple[float, int]:
    """The largest difference of a frame's logits from torch's, as a share of its largest, and the frames.

    Noise, which a state does not forget, makes a network with u above 1 grow without bound, so a frame is
    held against its own largest logit; and where torch's own logits have left float32, the check ends.
    """
    runtime, step = session(content), step_of(model)
    random = np.random.default_rng(0)
    worst, frames = 0.0, FRAMES
    for batch in BATCHES:
        ours, theirs = torch.zeros(batch, step.width), np.zeros((batch, step.width), np.float32)
        for frame in range(FRAMES):
            x = random.normal(0, 0.5, (batch, model.features)).astype(np.float32)
            logits, theirs = runtime.run(None, {"features": x, "state": theirs})
            expected = step.advance(torch.from_numpy(x), ours.unbind()).numpy()
            if not np.isfinite(expected).all():
                frames = min(frames, frame)
                break
            difference = np.abs(logits - expected).max() / np.abs(expected).max()
            worst = float(np.maximum(worst, difference))  # NaN stays
    return worst, frames
