"""The units that decide a class: what each adds to the class's logit, when, and what it remembers.

The classifier is linear, so a logit is a sum over units. And a unit's last state is a sum over time, for any
activation: with r_t = h_t - u h_(t-1), what it takes in at step t, h_T = r_T + u r_(T-1) + u^2 r_(T-2) + ...
So what a unit says of a class can be traced to the frames that made it say so.

Shapes: `N` clips, `B` of them at once, `S` steps, of sampled or of all frames, `F` features, `H` units of the
last layer, `W` numbers that the classifier reads, `K` classes. Source of the idea: Li et al., CVPR 2018, who
look at the neurons of the adding problem.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn import every_frame
from action_indrnn.classifier import Classifier
from action_indrnn.config import Config
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dataset import Clips, Integers
from action_indrnn.ensemble import Ensemble
from action_indrnn.graph import GraphIndRNN
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
        frames: (S,) the clip's frame numbers that were seen, the nearest, -1 for a frame of zeros.
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
    """Returns the recurrences that the classifier reads, one for each direction.

    None of a gated network, nor of a graph network: it reads the largest of several bodies' units.
    """
    if isinstance(model, GraphIndRNN):
        return []
    directions = [model.ahead, model.back] if isinstance(model, Bidirectional) else [model]
    last = [list(network.recurrences())[-1:] for network in directions]
    return [layer for layers in last for layer in layers]


def readable(model: Classifier) -> Classifier:
    """The first of several networks of which single units can be read; the network itself if it is one."""
    if isinstance(model, Ensemble):
        members = [member for member in model.members if isinstance(member, Classifier)]
        return next((member for member in members if last_layers(member)), members[0])
    return model


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


def batches(
    clips: Clips, numbers: Integers, settings: Config, layout: Layout
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields what a network sees of some clips: what an evaluation shows it, in one pass without chance.

    That is every frame where the network detects actions; otherwise `Clips.sample` with 0.5 for every random
    number, as the middle frame of each segment.

    Yields:
        x (S, B, F); the nearest frames (B, S), -1 for one of zeros; how many steps of each clip count (B,).
    """
    data = settings.data
    if settings.detects:
        for _, x, lengths in every_frame.batches(clips, numbers, layout, data.follow, _BATCH // 8):
            step = torch.arange(len(x))
            yield x, torch.where(step < lengths[:, None], step, -1), lengths
        return
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]
        uniform = np.full((len(some), data.frames + 1), 0.5)
        places = clips.places(torch.from_numpy(some), data.frames, torch.from_numpy(uniform), data.sampling)
        x = clips.sample(some, data.frames, uniform, data.sampling)
        yield x, places.double().round().long(), torch.full((len(some),), data.frames)


def at_the_end(model: Classifier, settings: Config) -> bool:
    """Whether a unit is read at its last step; its mean over all steps is read otherwise."""
    return model.reads_last and not settings.detects


def _walk(model: Classifier, x: Tensor, *, every: bool) -> tuple[Tensor, list[Tensor]]:
    """What the classifier gets of x (S, B, F), (B, W) or every step's; the last layers' states (S, B, H)."""
    given: list[Tensor] = []
    states: dict[IndRNN, Tensor] = {}
    layers = last_layers(model)

    def keep(module: IndRNN, _: object, out: tuple[Tensor, Tensor]) -> None:
        states[module] = out[0].cpu()

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    hooks.append(model.classifier.register_forward_pre_hook(lambda _, args: given.append(args[0].cpu())))
    try:
        model(x.to(layers[0].u.device), every=every)
    finally:
        for hook in hooks:
            hook.remove()
    return given[0], [states[layer] for layer in layers]


def _mean(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, H) the mean of each clip's own steps of x (S, B, H)."""
    own = torch.arange(len(x))[:, None] < lengths  # (S, B)
    return (x * own[..., None]).sum(dim=0) / lengths[:, None]


@torch.inference_mode()
def read(
    model: Classifier, clips: Clips, numbers: Integers, labels: Integers, settings: Config, layout: Layout
) -> Reading:
    """What the classifier reads of some clips, seen as in `batches`; labels are those of all.

    A network that detects actions says the mean over a clip's frames. What its softmax takes off every class
    alike decides nothing, and its output for no action is left out; so it is read as one that reads a mean.

    Raises:
        ValueError: the classifier reads no single units.
    """
    if not last_layers(model):
        kind = "graph" if isinstance(model, GraphIndRNN) else "gated"
        raise ValueError(f"expected a network whose classifier reads recurrent units, found a {kind} one")
    classifier = model.classifier
    assert isinstance(classifier, Linear)
    last = at_the_end(model, settings)
    values: list[Tensor] = []
    states: list[Tensor] = []
    for x, _, lengths in batches(clips, numbers, settings, layout):
        given, walked = _walk(model, x, every=settings.detects)
        values.append(_mean(given, lengths) if settings.detects else given)
        ends = [h[0 if layer.reverse else -1] for layer, h in zip(last_layers(model), walked, strict=True)]
        states.append(torch.cat(ends if last else [_mean(h, lengths) for h in walked], dim=1))
    classes = model.classes - settings.detects
    weight, bias = (parameter.detach().cpu().numpy()[:classes] for parameter in classifier.parameters())
    return Reading(
        numbers,
        labels[numbers],
        torch.cat(values).numpy(),
        torch.cat(states).numpy(),
        weight - weight.mean(axis=0),
        bias,
        _sources(model, weight.shape[1]),
    )


@torch.inference_mode()
def responses(
    model: Classifier, clips: Clips, numbers: Integers, unit: int, settings: Config, layout: Layout
) -> list[Response]:
    """How a unit goes through some clips, seen as in `read`."""
    layers = last_layers(model)
    place = unit
    layer = layers[0]
    if unit >= layer.units:
        layer, place = layers[1], unit - layers[0].units
    u = float(layer.u[place])
    found: list[Response] = []
    for x, frames, lengths in batches(clips, numbers, settings, layout):
        every = _walk(model, x, every=settings.detects)[1][layers.index(layer)][:, :, place].numpy()  # (S, B)
        for state, shown, steps in zip(every.T, frames.numpy(), lengths.tolist(), strict=True):
            walked = state[:steps][::-1] if layer.reverse else state[:steps]
            intake = walked - u * np.concatenate([np.zeros_like(walked[:1]), walked[:-1]])
            taken = (intake * _left(u, steps, last=at_the_end(model, settings))).astype(np.float32)
            taken = taken[::-1] if layer.reverse else taken
            found.append(Response(int(numbers[len(found)]), shown[:steps], state[:steps], taken))
    return found


def _left(u: float, steps: int, *, last: bool) -> NDArray[np.float64]:
    """(S,) what is left of each step's intake in the last state, or in the mean of all."""
    powers = u ** np.arange(steps, dtype=np.float64)[::-1]
    return powers if last else np.cumsum(powers[::-1])[::-1] / steps
