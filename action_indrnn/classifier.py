"""What the networks share: the walk of the state through the layers, and the logits of the last step.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from action_indrnn.facing import Facing
from action_indrnn.features import JointLineDistances, TimeDifference
from action_indrnn.gated import GatedLayer
from action_indrnn.layers import BatchNormOverTime, IndRNN, Linear, Mask, excess
from action_indrnn.pooling import PARTS, Attention, Pooling, RunningMean
from action_indrnn.streams import Streams

State = tuple[Tensor, ...]
Layer = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]  # from input and state to output and state
Recur = Callable[[Layer, Tensor], Tensor]  # runs a layer with its state and keeps the state for later
_STEPPING = IndRNN | GatedLayer | TimeDifference | Streams | Facing  # what goes through time step by step


class Memory(Protocol):
    """A module with a state, of `units` numbers for a clip."""

    units: int


class Classifier(nn.Module, ABC):
    """A network that answers after the last step.

    A subclass registers the modules that have a state in the order in which `body` runs them.

    Args:
        features: F, numbers in a frame.
        classes: K.
        width: of what `body` returns.
        geometry: whether `body` gets the joint-line distances in front of the joints.
        time_difference: whether `body` gets the change of all that since the frame before beside it.
        input_norm: whether all that is batch-normalised, number by number.
        input_clip: the largest size of a number after that; a larger one counts as this.
        pooling: what is read of what `body` returns: the last step, the mean over the steps so far, both, or
            with `Attention` besides.
        dropout: of what is read with attention, for which `body` drops nothing of what it returns.
        dropout_mask: of that.
        streams: what `body` gets in place of the joints; the joints themselves if not given.

    Attributes:
        facing: what turns every frame before all else, if something does.
        bound_penalty: factor of the penalty on recurrent weights beyond their bound.
        inputs: numbers in a frame that `body` gets.
        reverse: whether the walk ends at the first frame; see `turn`.
        causal: whether it answers before a clip's end.
    """

    causal = True
    facing: Facing | None

    def __init__(
        self,
        features: int,
        classes: int,
        width: int,
        *,
        geometry: bool = False,
        time_difference: bool = False,
        input_norm: bool = False,
        input_clip: float | None = None,
        pooling: Pooling = "last",
        dropout: float = 0.0,
        dropout_mask: Mask = "clip",
        streams: Streams | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.classes = classes
        self.reverse = False
        self.bound_penalty = 0.0
        self.register_module("facing", None)  # whose state comes first
        self.front = JointLineDistances(features) if geometry else None
        self.streams = streams
        inputs = self.front.features if self.front else features
        if streams is not None:
            inputs += streams.width - features
        self.difference = TimeDifference(inputs) if time_difference else None
        self.inputs = 2 * inputs if time_difference else inputs
        self.input_norm = BatchNormOverTime(self.inputs) if input_norm else None
        self.input_clip = input_clip
        self.reads_last = pooling != "mean"
        self.mean: nn.Module | None = None
        if pooling == "attention":
            self.mean = Attention(width, dropout, dropout_mask)
        elif pooling != "last":
            self.mean = RunningMean(width)
        parts = {"last": 1, "mean": 1, "both": 2, "attention": PARTS}[pooling]
        self.classifier: nn.Module = Linear(parts * width, classes)
        nn.init.kaiming_normal_(self.classifier.weight)

    @abstractmethod
    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns what the classifier reads, (T, B, width); `recur(module, x)` runs a module with a state."""

    def recurrences(self) -> Iterator[IndRNN]:
        """Yields the IndRNN layers from the input to the output."""
        return (module for module in self.modules() if isinstance(module, IndRNN))

    def memories(self) -> Iterator[Memory]:
        """Yields the modules that have a state, in the state's order."""
        yield from self._walks()
        if self.mean is not None:
            yield cast(Memory, self.mean)

    def _walks(self) -> Iterator[Memory]:
        """Yields those of them that go through time step by step."""
        return (module for module in self.modules() if isinstance(module, _STEPPING))

    def penalty(self) -> Tensor | float:
        """Returns what training adds to its loss for recurrent weights beyond their bound, a scalar."""
        return self.bound_penalty * excess(self) if self.bound_penalty else 0.0

    def turn(self) -> None:
        """Makes the network walk from the last frame to the first, where it then answers."""
        self.reverse = True
        for module in self.modules():
            if isinstance(module, _STEPPING | Attention):
                module.reverse = True

    def forward(self, x: Tensor, state: State | None = None, every: bool = False) -> tuple[Tensor, State]:
        """Returns the logits (B, K) after the last step of x, and the state to go on from.

        Feeding a clip in pieces, each with the state of the one before, gives the logits of the whole clip in
        evaluation mode; with T = 1 that is streaming.

        Args:
            x: features, (T, B, F).
            state: one (B, H) for every module in `memories()`; zeros if not given.
            every: give the logits after every step, (T, B, K); of a network that is read at its last step.

        Raises:
            ValueError: features or a state that do not fit the model.
        """
        if x.ndim != 3 or x.shape[2] != self.features:
            raise ValueError(f"expected input (T, B, {self.features} features), found {tuple(x.shape)}")
        if state is not None:
            self._check(state, x.shape[1])
        after: list[Tensor] = []

        def recur(layer: Layer, x: Tensor) -> Tensor:
            y, h = layer(x, None if state is None else state[len(after)])
            after.append(h)
            return y

        if self.facing is not None:
            x = recur(self.facing, x)
        seen = x if self.front is None else self.front(x)
        if self.streams is not None:  # in place of the joints, which stand last
            seen = torch.cat((seen[:, :, : -self.features], recur(self.streams, x)), dim=2)
        if self.difference is not None:
            seen = recur(self.difference, seen)
        if self.input_norm is not None:
            seen = self.input_norm(seen)
        if self.input_clip is not None:
            seen = nn.functional.hardtanh(seen, -self.input_clip, self.input_clip)
        y = self.body(seen, recur)
        if every:
            return self.classifier(y), tuple(after)
        alone = isinstance(self.mean, Attention)  # which reads the last step too
        read = [y[0 if self.reverse else -1]] if self.reads_last and not alone else []
        if self.mean is not None:
            read.append(recur(self.mean, y))
        return self.classifier(read[0] if len(read) == 1 else torch.cat(read, dim=1)), tuple(after)

    def _check(self, state: State, batch: int) -> None:
        expected = [(batch, module.units) for module in self.memories()]
        if len(state) != len(expected):
            raise ValueError(f"expected a state of {len(expected)} tensors, found {len(state)}")
        for index, (h, shape) in enumerate(zip(state, expected, strict=True)):
            if h.shape != shape:
                raise ValueError(f"state[{index}]: expected shape {shape}, found {tuple(h.shape)}")


class Bidirectional(Classifier):
    """Two networks, one of which walks from the last frame to the first, before one classifier.

    Args:
        ahead: the network that walks forwards.
        back: one like it, which is turned here.
    """

    causal = False

    def __init__(self, ahead: Classifier, back: Classifier) -> None:
        width = sum(_without_classifier(network) for network in (ahead, back))
        super().__init__(ahead.features, ahead.classes, width)
        back.turn()
        self.ahead = ahead
        self.back = back

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the one's output at the last frame beside the other's at the first, (1, B, 2 H)."""
        return torch.cat((self.ahead(x)[0], self.back(x)[0]), dim=1)[None]

    def forward(self, x: Tensor, state: State | None = None, every: bool = False) -> tuple[Tensor, State]:
        """Returns the logits (B, K) of whole clips x (T, B, F), and no state.

        Raises:
            ValueError: a state or every step's logits are asked for, or features that do not fit the model.
        """
        if state is not None or every:
            raise ValueError("a bidirectional network needs the whole clip at once, it goes on from no state")
        return super().forward(x)


def _without_classifier(network: Classifier) -> int:
    """Takes the network's classifier away and returns the width that it read."""
    classifier = network.classifier
    assert isinstance(classifier, Linear)
    network.classifier = nn.Identity()
    return classifier.in_features
