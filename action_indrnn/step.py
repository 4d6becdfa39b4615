"""One frame of a network as one step: from features and a state to logits, for many rows at once.

The state of a row is one flat vector: the states of the network's `memories()` after one another, so rows can
be gathered, kept and written as they are.

Shapes: `B` rows, `F` features, `H` units, `S` numbers of a state, `K` classes.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from action_indrnn.classifier import Classifier
from action_indrnn.ensemble import Ensemble, mean_logits
from action_indrnn.facing import Facing
from action_indrnn.kernels import step as compiled
from action_indrnn.kernels.step import Front
from action_indrnn.layers import RecurrentBlock
from action_indrnn.models import PlainIndRNN, ResidualIndRNN
from action_indrnn.pooling import Attention
from action_indrnn.step_fold import behind_a_row, bounds_of, fold, front_of
from action_indrnn.streams import Streams


class Step:
    """Steps through the network's own modules.

    Args:
        model: a causal network; it is put into evaluation mode.

    Attributes:
        width: S, numbers in the state of a row.
        way: what computes a step, and why nothing faster does, in words.
        fast: whether the compiled step does.
        scenes: what steps joints as they are, if something does; see `kernels.step.Program.see`.

    Raises:
        ValueError: the network needs the whole clip.
    """

    def __init__(self, model: Classifier, way: str = "the network's own modules") -> None:
        check_causal(model)
        self.way = way
        self.fast = False
        self.scenes: compiled.Program | None = None
        self.model = model.eval()
        self.device = next(model.parameters()).device
        self.units = [module.units for module in model.memories()]
        self.width = sum(self.units)

    @torch.inference_mode()
    def advance(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Returns the logits (B, K) after the frame x (B, F); the states, (S,) each, replaced in place."""
        state = torch.stack(tuple(states)).to(self.device)
        logits, after = self.model(
            x.to(self.device)[None],
            tuple(part.contiguous() for part in torch.split(state, self.units, dim=1)),
        )
        for one, new in zip(states, torch.cat(after, dim=1).to(x.device), strict=True):
            one.copy_(new)
        return logits.to(x.device)  # type: ignore[no-any-return]


class FusedStep(Step):
    """Steps through plain and residual networks with every batch normalisation folded into its neighbours.

    They take the compiled step where it is there; `program` is none where it is not, or does not know the
    activation.
    """

    def __init__(self, model: PlainIndRNN | ResidualIndRNN) -> None:
        super().__init__(model, f"the {compiled.reason()}")
        # In both networks maps and recurrent blocks alternate in the order in which they are registered.
        self.attention = model.mean if isinstance(model.mean, Attention) else None
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        reading = (model.classifier, self.attention and self.attention.score)
        maps = [module for module in linear if module not in reading]
        blocks = [module for module in model.modules() if isinstance(module, RecurrentBlock)]
        residual = isinstance(model, ResidualIndRNN)
        joins = [residual and number % 2 == 0 for number in range(len(blocks))]
        self.activation = blocks[0].indrnn.activation
        self.layers, (self.weight, self.bias), self.mean = fold(model, maps, blocks, joins)
        self.distances = model.front
        self.front: Front | None = None
        self.behind: Streams | None = None  # what `front` tells the compiled step
        self.facing, streams = model.facing, model.streams
        if streams is not None or self.facing is not None:
            self.front = front_of(streams, self.facing, model.features)
        if streams is not None and self.front is not None:
            self.behind = behind_a_row(streams, self.front)
        self.bounds = bounds_of(model)
        self.program: compiled.Program | None = None
        known = self.activation in compiled.ACTIVATIONS
        if compiled.available() and known:
            self.program = compiled.Program(
                self.layers, self.weight, self.bias, self.activation, self.front, self.bounds, self.mean
            )
            self.fast = True
            self.scenes = self.program if self.distances is None else None
        else:
            why = compiled.reason() if known else f"the compiled step knows no {self.activation}"
            self.way = f"torch operations, several times as slow; {why}"

    def advance(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Returns the logits (B, K) after the frame x (B, F); the states, (S,) each, replaced in place."""
        h = x
        if self.distances is not None:
            with torch.inference_mode():
                h = self.distances(x[None])[0].contiguous()
        return self._in_torch(h, states) if self.program is None else self.program.advance(h, states)

    @torch.inference_mode()
    def _in_torch(self, h: Tensor, states: Sequence[Tensor]) -> Tensor:
        state = torch.stack(tuple(states))
        parts = list(torch.split(state, self.units, dim=1))
        if self.facing is not None:
            h = self._faced(h, parts.pop(0), self.facing)
        if self.front is not None and self.front.kept:
            h = self._entered(h, parts.pop(0), self.front)
        if self.bounds is not None:
            h = h.clamp(*self.bounds)
        trunk: Tensor | None = None
        for layer, part in zip(self.layers, parts[: len(self.layers)], strict=True):
            z = _map(h, layer.weight, layer.bias)
            if layer.joins:
                z = trunk = z if trunk is None else trunk.add_(z)
            part.mul_(layer.u)
            if layer.scale is None or layer.shift is None:
                part.add_(z)
            else:
                part.add_(torch.addcmul(layer.shift, z, layer.scale))
            if self.activation == "relu":
                part.relu_()
            elif self.activation == "tanh":
                part.tanh_()
            h = part
        if self.mean is not None and self.attention is not None:
            scale, shift = self.mean.scale, self.mean.shift
            y = h if scale is None or shift is None else torch.addcmul(shift, h, scale)
            after = self.attention(y[None], parts[-1])[1]
            parts[-1].copy_(after)
            h = torch.cat((h, after[:, : 2 * self.attention.width]), dim=1)
        elif self.mean is not None:
            mean, steps = parts[-1][:, :-1], parts[-1][:, -1:]
            steps += 1
            scale, shift = self.mean.scale, self.mean.shift
            y = h if scale is None or shift is None else torch.addcmul(shift, h, scale)
            mean.lerp_(y, 1 / steps)
            h = mean if self.mean.alone else torch.cat((h, mean), dim=1)
        for one, new in zip(states, state, strict=True):
            one.copy_(new)
        return _map(h, self.weight, self.bias)

    def _faced(self, x: Tensor, before: Tensor, facing: Facing) -> Tensor:
        """The row with its frame turned; what was before is replaced."""
        rest = x.shape[1] - self.model.features
        now, after = facing(x[None, :, rest:], before)
        before.copy_(after)
        return torch.cat((x[:, :rest], now[0]), dim=1)

    def _entered(self, x: Tensor, before: Tensor, front: Front) -> Tensor:
        """What the first layer gets; the frame before is replaced by this one."""
        now = x[:, x.shape[1] - front.kept :]
        if self.behind is not None:
            more, _ = self.behind(now[None], before)
            x = torch.cat((x, more[0]), dim=1)
        before.copy_(now)
        return x


class EnsembleStep(Step):
    """Steps through every member of an ensemble, each in its fastest way."""

    def __init__(self, model: Ensemble) -> None:
        super().__init__(model)
        self.steps = [of(cast(Classifier, member)) for member in model.members]
        ways = [step.way for step in self.steps]
        alike = len(set(ways)) == 1
        self.way = f"{len(ways)} times {ways[0]}" if alike else "; and ".join(ways)
        self.fast = all(step.fast for step in self.steps)

    @torch.inference_mode()
    def advance(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Returns the logits (B, K) after the frame x (B, F); the states, (S,) each, replaced in place."""
        parts = [torch.split(state, [step.width for step in self.steps]) for state in states]
        rows = zip(*parts, strict=True)
        found = [step.advance(x, own) for step, own in zip(self.steps, rows, strict=True)]
        return mean_logits(found)


def of(model: Classifier) -> Step:
    """The fastest step: fused for a plain or residual network on a CPU.

    Raises:
        ValueError: the network needs the whole clip.
    """
    if isinstance(model, Ensemble):
        return EnsembleStep(model)
    slow = {
        f"a {type(model).__name__}": not isinstance(model, PlainIndRNN | ResidualIndRNN),
        "a network on another device": not next(model.parameters()).is_cpu,
        "time differences": model.difference is not None,
        "clipped bones": model.input_clip is not None and _has_bones(model.streams),
    }
    found = [what for what, there in slow.items() if there]
    if not found and isinstance(model, PlainIndRNN | ResidualIndRNN):
        return FusedStep(model)
    return Step(model, f"the network's own modules, several times as slow; no fused step for {found[0]}")


def _has_bones(streams: Streams | None) -> bool:
    return streams is not None and any(name.startswith("bone") for name in streams.names)


def check_causal(model: Classifier) -> None:
    """Check that the network can answer before a clip's end.

    Raises:
        ValueError: it cannot.
    """
    if not model.causal:
        raise ValueError(
            f"expected a network that walks forwards only, found a {type(model).__name__} one: it needs the "
            "whole clip at once and cannot answer frame by frame; train with model.bidirectional=false"
        )


def _map(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if len(x) == 1:  # a product with a vector reads the weights once and has no packing
        return torch.addmv(bias, weight, x[0])[None]
    return torch.addmm(bias, x, weight.t())
