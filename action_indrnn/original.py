"""Weights trained with the original PyTorch project, Sunnydreamrain/IndRNN_pytorch, as our networks.

The names below are those that its modules give to their parameters; layouts are the same, so nothing is
transposed. Its networks saw joints as recorded, so an imported model asks for a set of the view "raw". Its
training script saves after a last test in training mode: the running statistics of batch normalisation have
seen test clips, and an accuracy measured with them is not clean.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from action_indrnn import __version__, checkpoint
from action_indrnn.checkpoint import Card
from action_indrnn.config import Config
from action_indrnn.data_prep import catalogue
from action_indrnn.models import Classifier, build
from action_indrnn.networks import Dense, Model

FEATURES = 150  # two bodies of 25 joints in metres
_TRAIN_SHARE = 0.95  # of the training clips; the others, drawn by clip, were for validation

# What a part of ours is called there; {} stand for the numbers in our name, counted from 0 in a plain network
# and from 1 in the others.
_PARTS: dict[str, dict[str, str]] = {
    "plain": {
        r"layers\.(\d+)\.linear": "DIs.{}.fc",
        r"layers\.(\d+)\.block": "RNNs.{}",
    },
    "residual": {
        r"first": "features.fc0.fc",
        r"blocks\.(\d+)": "features.resblock{}",
        r"last": "features.IndRNNwithBN_last",
    },
    "dense": {
        r"first\.linear": "features.fc0.fc",
        r"first\.block": "features.IndRNNwithBN0",
        r"blocks\.(\d+)\.layers\.(\d+)": "features.denseblock{}.denselayer{}",
        r"blocks\.(\d+)\.transition\.linear": "features.transition{}.fc.fc",
        r"blocks\.(\d+)\.transition\.block": "features.transition{}.IndRNNwithBN",
    },
}
_INSIDE = {
    ".block1.": ".IndRNNwithBN1.",
    ".linear1.": ".fc1.fc.",
    ".block2.": ".IndRNNwithBN2.",
    ".linear2.": ".fc2.fc.",
    ".bottleneck.linear.": ".fc1.fc.",
    ".bottleneck.block.": ".IndRNNwithBN1.",
    ".growth.linear.": ".fc2.fc.",
    ".growth.block.": ".IndRNNwithBN2.",
    ".indrnn.u": ".indrnn1.weight_hh",
    ".norm.norm.": ".norm1.bn.",
}
_MARKS = {"plain": "DIs.", "residual": "features.resblock", "dense": "features.denseblock"}


def original_name(ours: str, config: Model) -> str:
    """Returns what the original calls the entry `ours` of our network's state_dict."""
    first = 0 if config.kind == "plain" else 1
    for pattern, name in _PARTS[config.kind].items():
        match = re.match(rf"{pattern}(?=\.)", ours)
        if match:
            ours = name.format(*(int(number) + first for number in match.groups())) + ours[match.end() :]
            break
    if isinstance(config, Dense):
        ours = ours.replace(f"features.transition{len(config.blocks)}.", "features.lastlayer.")
    for inside, theirs in _INSIDE.items():
        ours = ours.replace(inside, theirs)
    return ours


def convert(
    state: Mapping[str, Tensor],
    config: Model,
    features: int = FEATURES,
    classes: int = 60,
    source: str = "weights",
) -> Classifier:
    """Returns our network with the original's weights.

    Args:
        state: the state_dict of one of the original's networks.
        config: the network; norm, activation and dense options must be those of the training.
        features: F, numbers in one frame before geometry.
        classes: K.
        source: what to call the state_dict in an error.

    Raises:
        ValueError: another kind of network, another pooling, other sizes, entries missing or left over.
    """
    if config.kind not in _PARTS or config.bidirectional:
        raise ValueError(
            f"expected one of the original's networks, {', '.join(_PARTS)}, found {_words(config)}"
        )
    if config.pooling != "last":
        raise ValueError(
            f"model.pooling: expected last, as the original's networks read, found {config.pooling}"
        )
    kinds = [kind for kind, mark in _MARKS.items() if any(name.startswith(mark) for name in state)]
    if kinds != [config.kind]:
        found = f"that of a {kinds[0]} one" if kinds else f"the entries {', '.join(list(state)[:3])}"
        raise ValueError(f"{source}: expected the state_dict of a {config.kind} network, found {found}")
    # Its class without CUDA keeps the recurrence in a cell of its own.
    state = {name.replace(".indrnn1.indrnn_cell.", ".indrnn1."): value for name, value in state.items()}
    model = build(config, features, classes)
    ours = model.state_dict()
    names = {name: original_name(name, config) for name in ours}
    for name, theirs in names.items():
        if theirs in state:
            if state[theirs].shape != ours[name].shape:
                raise ValueError(
                    f"{source}: {theirs}: expected shape {tuple(ours[name].shape)}, "
                    f"found {tuple(state[theirs].shape)}"
                )
            ours[name] = state[theirs].to(ours[name].dtype)
        elif not name.endswith("num_batches_tracked"):  # torch counts these since 0.4.1; nothing reads them
            raise ValueError(f"{source}: expected {theirs} of shape {tuple(ours[name].shape)}, found none")
    left = sorted(set(state) - set(names.values()))
    if left:
        raise ValueError(f"{source}: expected {len(names)} entries, found also {', '.join(left[:3])}")
    model.load_state_dict(ours)
    return model.eval()


def import_checkpoint(path: Path, settings: Config, dataset: str, protocol: str, out: Path) -> Classifier:
    """Writes a file that the original's training script saved as a model file, and returns the network.

    Args:
        path: what torch.save made of a state_dict; nothing else in it is unpickled.
        settings: of the network and the run.
        dataset: what it was trained on, ntu60 or ntu120.
        protocol: under which it was trained.
        out: the model file.

    Raises:
        ValueError: not such a file; no such data set or protocol; streams besides joints; or see `convert`.
    """
    data_set = catalogue.find(dataset)
    if protocol not in data_set.counts:
        raise ValueError(f"{dataset}: expected a protocol out of {list(data_set.counts)}, found '{protocol}'")
    if settings.data.streams != ("joint",):
        found = ", ".join(settings.data.streams)
        raise ValueError(f"data.streams: expected joint alone, as the original's networks saw, found {found}")
    state = _read(path)
    model = convert(state, settings.model, FEATURES, len(data_set.classes), str(path))
    train, test = data_set.counts[protocol]
    fitted = int(train * _TRAIN_SHARE)
    card = Card(
        program=f"action-indrnn {__version__}",
        config=settings,
        dataset=dataset,
        protocol=protocol,
        whole=True,
        classes=data_set.classes,
        features=FEATURES,
        view="raw",
        joint_layout=data_set.joint_layout().table(),
        seed=settings.train.seed,
        epochs=0,
        clips=(fitted, train - fitted, test),
        held_out="random clips of the original's choice; imported weights",
    )
    checkpoint.save_model(out, model, card)
    return model


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: expected a file of torch.save, found none")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error) or "it is cut short").splitlines()[0]
        raise ValueError(f"{path}: expected a state_dict saved by torch.save: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: expected a state_dict, found {type(state).__name__}")
    return dict(state)


def _words(config: Model) -> str:
    return f"{'bidirectional ' if config.bidirectional else ''}{config.kind}"
