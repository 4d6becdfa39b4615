import numpy as np
import pytest

from action_indrnn import splits
from action_indrnn.data_prep.archive import PreparedSet


def test_split_by_subjects(made_set: PreparedSet) -> None:
    split = splits.split(made_set, "xsub", validation="subjects", share=0.05, seed=3)
    subject = made_set.column("subject")
    assert set(subject[split.test]) == {3}
    assert len(set(subject[split.validation])) == 1
    assert set(subject[split.train]) | set(subject[split.validation]) == {1, 2, 4}
    assert not set(subject[split.train]) & set(subject[split.validation])
    parts = np.concatenate([split.train, split.validation, split.test])
    assert sorted(parts) == list(range(60))
    assert split.held_out == f"subjects {subject[split.validation[0]]}"
    chosen = {splits.split(made_set, "xsub", seed=seed).held_out for seed in range(20)}
    assert len(chosen) == 3


def test_split_by_clips(made_set: PreparedSet) -> None:
    split = splits.split(made_set, "xview", validation="clips", share=0.1, seed=0)
    assert len(split.validation) == 4
    assert len(split.train) == 36
    assert set(made_set.column("camera")[split.test]) == {1}
    assert not set(split.train) & set(split.validation)


def test_impossible_splits_are_refused(made_set: PreparedSet) -> None:
    with pytest.raises(
        ValueError, match=r"expected a protocol out of \['xsub', 'xview', 'xset'\], found 'xsubject'"
    ):
        splits.split(made_set, "xsubject")
    with pytest.raises(ValueError, match="expected more than 3 training subjects to hold out 3, found 3"):
        splits.split(made_set, "xsub", share=0.9)
