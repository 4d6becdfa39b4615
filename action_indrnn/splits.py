"""Which clips of a prepared set train, are chosen by and are tested under a protocol."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from action_indrnn.data_prep import protocols, untrimmed
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.untrimmed import Untrimmed
from action_indrnn.dataset import Integers


@dataclass(frozen=True)
class Split:
    """Clip numbers (lines of the index) of a protocol; the three do not overlap.

    Attributes:
        train: clips to fit.
        validation: clips to choose the model by, taken from the protocol's training clips.
        test: clips that nothing is chosen by.
        held_out: how the validation clips were chosen, in words.
    """

    train: Integers
    validation: Integers
    test: Integers
    held_out: str


def split(
    prepared: PreparedSet,
    protocol: str,
    *,
    validation: Literal["subjects", "clips", "none"] = "subjects",
    share: float = 0.05,
    seed: int = 0,
) -> Split:
    """The split of a prepared set under a protocol.

    Args:
        prepared: a prepared set; its `meta.toml` holds the protocols.
        protocol: one of them, or a rule as `fold=1`; see `data_prep.protocols`.
        validation: "subjects" holds out whole training subjects, so that validation asks what a cross-subject
            test asks; "clips" holds out random clips, as the original IndRNN code does; "none" nothing.
        share: the part of the training subjects or clips to hold out, at least one.
        seed: which subjects or clips.

    Raises:
        ValueError: no such protocol, or too few subjects or clips to hold any out.
    """
    try:
        roles = protocols.roles(prepared.index, prepared.meta["protocols"], protocol)
    except ValueError as error:
        raise ValueError(f"{prepared.path}: {error}") from error
    train, test = np.flatnonzero(roles == protocols.TRAIN), np.flatnonzero(roles == protocols.TEST)
    for part, clips in (("training", train), ("test", test)):
        if not clips.size:
            raise ValueError(f"{prepared.path}: {protocol}: expected {part} clips, found none")
    if validation == "none":
        return Split(train, train[:0], test, "none")
    if validation == "subjects" and "subject" not in prepared.index.columns:
        raise ValueError(
            f"{prepared.path}: expected a column 'subject' to hold out whole subjects, found none; "
            "--set train.validation=clips holds out clips"
        )
    groups = prepared.values("subject")[train] if validation == "subjects" else train
    values = np.unique(groups)
    count = max(1, round(share * len(values)))
    if count >= len(values):
        raise ValueError(
            f"{prepared.path}: {protocol}: expected more than {count} training {validation} to hold out "
            f"{count}, found {len(values)}"
        )
    chosen = np.sort(np.random.default_rng([seed, 0]).permutation(values)[:count])
    held = np.isin(groups, chosen)
    words = f"subjects {', '.join(map(str, chosen))}" if validation == "subjects" else f"{count} random clips"
    return Split(train[~held], train[held], test, words)


def recordings_of(prepared: PreparedSet, clips: Integers) -> list[Untrimmed]:
    """The set's untrimmed recordings that only some clips were cut from, by the columns that both have."""
    recordings = untrimmed.read(prepared.path)
    if not recordings:
        return []
    keys = list(prepared.index[list(recordings[0].columns)].itertuples(index=False, name=None))
    chosen = {keys[number] for number in clips}
    others = {keys[number] for number in np.setdiff1d(np.arange(len(keys)), clips)}
    own = [(one, tuple(one.columns.values())) for one in recordings]
    return [one for one, key in own if key in chosen and key not in others]
