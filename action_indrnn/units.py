"""The units that decide a class: what each adds to the class's logit, when, and what it remembers.

The classifier is linear, so a logit is a sum over units. And a unit's last state is a sum over time, for any
activation: with r_t = h_t - u h_(t-1), what it takes in at step t, h_T = r_T + u r_(T-1) + u^2 r_(T-2) + ...
So what a unit says of a class can be traced to the frames that made it say so.

Shapes: `N` clips, `S` sampled frames, `H` units of the last layer, `W` numbers that the classifier reads,
`K` classes. Source of the idea: Li et al., CVPR 2018, who look at the neurons of the adding problem.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn.classifier import Classifier
from action_indrnn.dataset import Clips, Integers, sample_frames
from action_indrnn.layers import IndRNN, Linear
from action_indrnn.models import Bidirectional

Floats = NDArray[np.float32]
DECISIVE = 5  # units without which a class is looked at again
_BATCH = 128


@dataclass(frozen=True)
class Reading:
    """What the classifier reads of some clips.

    Attributes:
        numbers: (N,) the clips.
        labels: (N,) their classes.
        values: (N, W).
        states: (N, H) the units' states behind them: the last ones, or their mean where that is what is read.
        weight: (K, W) the classifier's, with the mean over classes taken off: a softmax sees no more of it.
        bias: (K,).
        unit: (W,) which unit each number comes from; the units of both directions are counted through.
    """

    numbers: Integers
    labels: Integers
    values: Floats
    states: Floats
    weight: Floats
    bias: Floats
    unit: Integers

    @cached_property
    def evidence(self) -> Floats:
        """What each unit adds to a class's logit on the class's clips more than on all others, (K, H)."""
        classes, width = self.weight.shape
        found = np.zeros((classes, width), np.float32)
        for label in range(classes):
            own = self.labels == label
            if own.any() and not own.all():
                gap = self.values[own].mean(axis=0) - self.values[~own].mean(axis=0)
                found[label] = self.weight[label] * gap
        units = np.zeros((classes, int(self.unit.max()) + 1), np.float32)
        np.add.at(units.T, self.unit, found.T)
        return units

    def recall(self, label: int, without: Integers) -> float:
        """Share of a class's clips that are recognised where some units say what they say on average."""
        values = self.values[self.labels == label].copy()
        silent = np.isin(self.unit, without)
        values[:, silent] = self.values[:, silent].mean(axis=0)
        logits = values @ self.weight.T + self.bias
        return float((logits.argmax(axis=1) == label).mean())

    def deciding(self, label: int, count: int) -> Integers:
        """The units with the most evidence for a class among those that respond to it more than to others."""
        own = self.labels == label
        if not own.any() or own.all():
            return np.zeros(0, np.int64)
        more = self.states[own].mean(axis=0) > self.states[~own].mean(axis=0)
        evidence = np.where(more, self.evidence[label], 0)
        chosen = np.argsort(-evidence, kind="stable")[:count]
        return chosen[evidence[chosen] > 0]


@dataclass(frozen=True)
class Response:
    """A unit in one clip.

    Attributes:
        number: of the clip.
        frames: (S,) the clip's frame numbers that were seen, -1 for a frame of zeros.
        state: (S,) the unit's state h.
        taken: (S,) what is left of each step's intake where the unit is read; their sum is what is read.
    """

    number: int
    frames: Integers
    state: Floats
    taken: Floats

    @property
    def peak(self) -> int:
        """The clip's frame that the unit's answer owes the most to."""
        return int(self.frames[np.where(self.frames >= 0, self.taken, -np.inf).argmax()])


def last_layers(model: Classifier) -> list[IndRNN]:
    """Returns the recurrences that the classifier reads, one for each direction; none of a gated network."""
    directions = [model.ahead, model.back] if isinstance(model, Bidirectional) else [model]
    last = [list(network.recurrences())[-1:] for network in directions]
    return [layer for layers in last for layer in layers]


def recurrent_weights(model: Classifier) -> NDArray[np.float64]:
    """(H,) the recurrent weights of the units that the classifier reads."""
    return np.concatenate([layer.u.detach().cpu().numpy().astype(np.float64) for layer in last_layers(model)])


def _sources(model: Classifier, width: int) -> Integers:
    """(W,) which unit each number that the classifier reads comes from."""
    layers = last_layers(model)
    every, first = [], 0
    for layer in layers:
        every.append(first + np.arange(width // len(layers)) % layer.units)
        first += layer.units
    return np.concatenate(every)


@torch.inference_mode()
def read(model: Classifier, clips: Clips, numbers: Integers, labels: Integers, frames: int) -> Reading:
    """What the classifier reads of some clips, of the middle frame of each segment; labels are those of all.

    Raises:
        ValueError: the network has no recurrent weights.
    """
    layers = last_layers(model)
    if not layers:
        raise ValueError("expected a network with recurrent weights, found a gated one")
    classifier = model.classifier
    assert isinstance(classifier, Linear)
    values: list[Tensor] = []
    states: list[list[Tensor]] = [[] for _ in layers]

    def keep(module: IndRNN, _: object, out: tuple[Tensor, Tensor]) -> None:
        states[layers.index(module)].append((out[1] if model.reads_last else out[0].mean(dim=0)).cpu())

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    hooks.append(classifier.register_forward_pre_hook(lambda _, given: values.append(given[0].cpu())))
    try:
        for start in range(0, len(numbers), _BATCH):
            some = numbers[start : start + _BATCH]
            model(
                clips.batch(torch.from_numpy(some), middle_frames(clips, some, frames)).to(layers[0].u.device)
            )
    finally:
        for hook in hooks:
            hook.remove()
    weight = classifier.weight.detach().cpu().numpy()
    return Reading(
        numbers,
        labels[numbers],
        torch.cat(values).numpy(),
        torch.cat([torch.cat(parts) for parts in states], dim=1).numpy(),
        weight - weight.mean(axis=0),
        classifier.bias.detach().cpu().numpy(),
        _sources(model, weight.shape[1]),
    )


@torch.inference_mode()
def responses(model: Classifier, clips: Clips, numbers: Integers, unit: int, frames: int) -> list[Response]:
    """How a unit goes through some clips, sampled as in `read`."""
    layers = last_layers(model)
    place = unit
    layer = layers[0]
    if unit >= layer.units:
        layer, place = layers[1], unit - layers[0].units
    states: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, given, out: states.append(out[0][:, :, place].cpu()))
    try:
        x = clips.batch(torch.from_numpy(numbers), middle_frames(clips, numbers, frames))
        model(x.to(layer.u.device))
    finally:
        handle.remove()
    state = states[0].numpy()  # (S, N)
    u = float(layer.u[place])
    weights = _left(u, len(state), last=model.reads_last)
    walked = state[::-1] if layer.reverse else state
    intake = walked - u * np.concatenate([np.zeros_like(walked[:1]), walked[:-1]])
    taken = intake * weights[:, None]
    taken = taken[::-1] if layer.reverse else taken
    shown = middle_frames(clips, numbers, frames).numpy()
    return [
        Response(int(number), shown[row], state[:, row], taken[:, row].astype(np.float32))
        for row, number in enumerate(numbers)
    ]


def _left(u: float, steps: int, *, last: bool) -> NDArray[np.float64]:
    """(S,) what is left of each step's intake in the last state, or in the mean of all."""
    powers = u ** np.arange(steps, dtype=np.float64)[::-1]
    return powers if last else np.cumsum(powers[::-1])[::-1] / steps


def middle_frames(clips: Clips, numbers: Integers, frames: int) -> Tensor:
    """(B, S) the frames in the middle of each segment, for clips by number."""
    length = clips.length[torch.from_numpy(numbers)]
    uniform = torch.full((len(numbers), frames + 1), 0.5, dtype=torch.float64)
    return sample_frames(length, frames, uniform)
