"""Model files, for use, and checkpoints, for going on with a training run.

A model file is one `.safetensors` file: the weights, and in its metadata a card with everything needed to use
them. A checkpoint is a torch file that only `train --resume` reads. Nothing is ever unpickled.
"""

import io
import os
import pickle
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import safetensors
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file

from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import View
from action_indrnn.decision import DETECTING, Rule
from action_indrnn.models import Classifier, build

_KEY = "action_indrnn"


class Measured(BaseModel):
    """An accuracy and what it was measured on; shares between 0 and 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    split: str
    clips: int
    passes: int
    top1: float
    top5: float
    mean_class: float


class Card(BaseModel):
    """What a model file says of its weights.

    Attributes:
        program: the version that wrote it.
        config: of the run that made it.
        dataset, protocol: what it was trained on.
        whole: whether that was the whole data set.
        classes: K class names by label.
        features: F, numbers in one frame's feature vector.
        view: how clips were normalised.
        recipe: how actors were chosen; see `data_prep.recordings` and `data_prep.data_set.DataSet`.
        joint_layout: the joint set, as `layout.from_table` takes it.
        seed, epochs: of the run; the epoch is the one whose weights these are.
        clips: of training, validation, test.
        held_out: the validation clips, in words.
        clip_frames: median length of the training clips; none in a file written before that.
        measured: on the test split, once; none in a file written before that.
        rule: when a stream says that an action begins and ends, fitted on held-out clips; none where there
            were none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    program: str
    config: Config
    dataset: str
    protocol: str
    whole: bool
    classes: tuple[str, ...]
    features: int
    view: View
    recipe: str = "tracks"
    joint_layout: dict[str, Any]
    seed: int
    epochs: int
    clips: tuple[int, int, int]
    held_out: str
    clip_frames: float | None = None
    measured: Measured | None = None
    rule: Rule | None = None

    def decides(self) -> Rule:
        """The rule of its streams: its own, or the one of its kind."""
        return self.rule or (DETECTING if self.config.detects else Rule())

    def layout(self) -> Layout:
        """The joint layout."""
        return layout.from_table(self.joint_layout, "model file")

    @property
    def actors(self) -> int:
        """How many bodies the network takes at once."""
        return self.features // (3 * len(self.joint_layout["joints"]))

    def check_fit(self, prepared: PreparedSet) -> None:
        """Check that the model can be measured on a set.

        Raises:
            ValueError: other classes, joints or normalisation; says what the model has and what the set has.
        """
        made = prepared.meta["preprocessing"]
        for what, expected, found in (
            ("view", self.view, made["view"]),
            ("recipe", self.recipe, made.get("recipe", "tracks")),
        ):
            if expected != found:
                raise ValueError(
                    f"{prepared.path}: expected clips of the model's {what} '{expected}', found '{found}'"
                )
        for what, ours, theirs in (
            ("classes", list(self.classes), prepared.classes),
            ("joints", self.joint_layout["joints"], prepared.meta["layout"]["joints"]),
        ):
            if ours != theirs:
                place = next(at for at, pair in enumerate(zip_longest(ours, theirs)) if len(set(pair)) > 1)
                expected, found = (
                    values[place] if place < len(values) else "none" for values in (ours, theirs)
                )
                raise ValueError(
                    f"{prepared.path}: expected the model's {len(ours)} {what}, found {len(theirs)}; "
                    f"the first that differs: expected '{expected}', found '{found}'"
                )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write; it takes the place of `path` once it is whole and on disk."""
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def save_model(path: Path, model: Classifier, card: Card) -> None:
    """Write a model file."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(path) as partial:
        save_file(weights, partial, {_KEY: card.model_dump_json()})


def load_card(path: str | Path) -> Card:
    """The card of a model file.

    Raises:
        ValueError: not a model file of this program.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: expected a model file, found {'a folder' if path.is_dir() else 'nothing there'}"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: expected a model file: {error}") from error
    if _KEY not in metadata:
        raise ValueError(f"{path}: expected a model file of action-indrnn, found other safetensors")
    try:
        return Card.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: card of the model file: {where}: {first['msg']}") from error


def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[Classifier, Card]:
    """The network of a model file, ready to evaluate, and its card.

    Raises:
        ValueError: not a model file of this program, or its weights do not fit its card.
    """
    card = load_card(path)
    model = build(card.config, card.features, len(card.classes), card.layout())
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise ValueError(
            f"{path}: weights do not fit the card: {str(error).splitlines()[-1].strip()}"
        ) from error
    return model.to(device).eval(), card


def combine(paths: Sequence[Path], out: Path) -> Card:
    """Write one model file of several, whose probabilities it averages; the card of it.

    Args:
        paths: model files of the same settings, but for the seed, on the same clips.
        out: the new file; it has their rule for streams where they have the same one.

    Raises:
        ValueError: fewer than two, or one that is none, of other settings or of the same seed.
        FileExistsError: something stands there already.
    """
    if len(paths) < 2:
        raise ValueError(f"expected two model files or more to put together, found {len(paths)}")
    if out.exists():
        raise FileExistsError(f"{out}: expected nothing there, found a file; a model is not written over")
    cards = [load_card(path) for path in paths]
    first, seeds = _but_for_the_seed(cards[0]), set[int]()
    for path, card in zip(paths, cards, strict=True):
        if (members := card.config.model.members) > 1:
            raise ValueError(f"{path}: expected a single network, found {members} put together already")
        found = _but_for_the_seed(card)
        if differs := [key for key in first if first[key] != found[key]]:
            raise ValueError(
                f"{path}: expected the {min(differs)} of {paths[0]}, found another; only the seed may differ"
            )
        if card.seed in seeds:
            raise ValueError(f"{path}: expected another seed than the others', found {card.seed} again")
        seeds.add(card.seed)
    weights = {
        f"members.{number}.{name}": value
        for number, path in enumerate(paths)
        for name, value in load_file(path).items()
    }
    network = cards[0].config.model.model_copy(update={"members": len(paths)})
    config = cards[0].config.model_copy(update={"model": network})
    rule = cards[0].rule if all(card.rule == cards[0].rule for card in cards) else None
    card = cards[0].model_copy(update={"config": config, "measured": None, "rule": rule})
    with replacing(out) as partial:
        save_file(weights, partial, {_KEY: card.model_dump_json()})
    return card


def _but_for_the_seed(card: Card) -> dict[str, Any]:
    """What the cards of a setting's seeds have in common."""
    own = {"program", "seed", "epochs", "clips", "held_out", "clip_frames", "measured", "rule"}
    table = card.model_dump(exclude=own)
    del table["config"]["train"]["seed"]
    training, validation, test = card.clips
    return table | {"number of clips": (training + validation, test)}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint: tensors, numbers, texts, lists and dictionaries of them.

    Raises:
        OSError: it cannot be written; what stood there stays.
    """
    with replacing(path) as partial:
        try:
            torch.save(state, partial)
        except RuntimeError as error:  # torch's word for a full disk
            raise OSError(f"{path}: cannot be written: {str(error).splitlines()[0]}") from error


def load_checkpoint(content: bytes, path: Path, keys: Collection[str]) -> dict[str, Any]:
    """What a checkpoint file's content says, which has the given keys; the path is for messages.

    Raises:
        ValueError: damaged, or not such a checkpoint.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error) or "it is cut short").splitlines()[0]
        raise ValueError(f"{path}: expected a checkpoint: {reason}") from error
    if not isinstance(state, dict) or not set(keys) <= set(state):
        raise ValueError(f"{path}: expected a checkpoint with {', '.join(keys)}, found another file of torch")
    return state
