from pathlib import Path

import pytest

from action_indrnn import config, folds
from action_indrnn.data_prep.archive import PreparedSet


def test_every_fold_and_seed_is_a_run_in_a_folder_of_its_own(made_set: PreparedSet) -> None:
    settings = config.load("demo", ["train.seed=3"])

    def found(protocol: str, seeds: int) -> list[tuple[str, int, str]]:
        runs = folds.runs(settings, made_set, protocol, seeds, Path("out"))
        return [(fold, seeded.train.seed, str(folder)) for fold, seeded, folder in runs]

    assert found("xsub", 1) == [("xsub", 3, "out")]
    assert found("xsub", 2) == [("xsub", 3, "out/seed-3"), ("xsub", 4, "out/seed-4")]
    assert found("clip/2=*", 1) == [("clip/2=1", 3, "out/clip-2=1"), ("clip/2=2", 3, "out/clip-2=2")]
    assert [run[2] for run in found("camera=*", 2)] == [
        f"out/camera={camera}/seed-{seed}" for seed in (3, 4) for camera in (1, 2, 3)
    ]
    with pytest.raises(ValueError, match=r"set: .*expected a column out of .*, found 'tent'"):
        found("tent=*", 1)


def test_seeds_and_folds_spread_by_themselves() -> None:
    both = folds.summary([[0.8, 0.9], [0.6, 0.9]])  # folds 0.85 and 0.75, seeds 0.7 and 0.9
    assert both == (
        "80.00% +- 7.07% between folds, +- 14.14% between seeds "
        "(mean and standard deviation of 2 folds x 2 seeds)"
    )
    assert folds.summary([[0.8, 0.9]]) == "85.00% +- 7.07% (mean and standard deviation of 2 seeds)"
    assert folds.summary([[0.8], [0.6]]).startswith("70.00% +- 14.14% between folds (")
