"""Several runs of one setting: every fold of a family of protocols, every seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from action_indrnn.config import Config
from action_indrnn.data_prep import protocols
from action_indrnn.data_prep.archive import PreparedSet


def runs(
    settings: Config, prepared: PreparedSet, protocol: str, seeds: int, out: Path, *, more: bool = False
) -> Iterator[tuple[str, Config, Path]]:
    """Yields the protocol, the settings with the seed, and the folder of every run, seed by seed.

    One fold with one seed runs in `out` itself, else each in out/PROTOCOL, out/seed-N or out/PROTOCOL/seed-N,
    a slash of the protocol's name written as a dash.

    Args:
        settings: of the first seed.
        prepared: the set.
        protocol: a name or a rule, or with `*` a family of them; see `data_prep.protocols`.
        seeds: how many, from the settings' own on.
        out: the folder of them all.
        more: whether other seeds may follow in that folder, so that one alone has a folder of its own too.

    Raises:
        ValueError: no such protocol.
    """
    try:
        every = protocols.expand(prepared.index, prepared.meta["protocols"], protocol)
    except ValueError as error:
        raise ValueError(f"{prepared.path}: {error}") from error
    for seed in range(settings.train.seed, settings.train.seed + seeds):
        seeded = settings.model_copy(update={"train": settings.train.model_copy(update={"seed": seed})})
        for fold in every:
            folder = out / fold.replace("/", "-") if "*" in protocol else out
            yield fold, seeded, folder / f"seed-{seed}" if seeds > 1 or more else folder


def summary(top1: Sequence[Sequence[float]]) -> str:
    """The mean accuracy in words, and how far seeds and folds spread.

    Args:
        top1: of every fold, of every seed in it; two of either at least.
    """
    seeds, folds = min(map(len, top1)), len(top1)
    spreads, of = [], []
    if folds > 1:
        spreads.append(f" +- {np.std([np.mean(fold) for fold in top1], ddof=1):.2%} between folds")
        of.append(f"{folds} folds")
    if seeds > 1:  # of the mean over folds: what another seed for everything would give
        spread = np.std(np.mean([fold[:seeds] for fold in top1], axis=0), ddof=1)
        spreads.append(f" +- {spread:.2%}" + (" between seeds" if folds > 1 else ""))
        of.append(f"{seeds} seeds")
    mean = np.mean([np.mean(fold) for fold in top1])
    return f"{mean:.2%}{','.join(spreads)} (mean and standard deviation of {' x '.join(of)})"
