import pandas as pd
import pytest

from action_indrnn.data_prep import protocols
from action_indrnn.data_prep.protocols import Protocol

INDEX = pd.DataFrame(
    {
        "name": list("abcdefgh"),
        "label": [0, 0, 0, 1, 1, 1, 2, 2],
        "subject": [1, 2, 3, 4, 6, 1, 2, 10],
        "split": ["train", "test", "train", "train", "test", "none", "train", "test"],
    }
)
NAMED = {
    "xsub": Protocol("subject", (1, 3)).table(),
    "half1": Protocol("subject", (1,), test=(2, 3)).table(),
    "half2": Protocol("subject", (2,), labels=(0, 2)).table(),
}


def of(name: str) -> str:
    """The roles as letters: T training, e test, - neither."""
    return "".join("eT-"[role] for role in protocols.roles(INDEX, NAMED, name).tolist())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xsub", "TeTeeTee"),
        ("half1", "Tee--Te-"),
        ("half2", "eTe---Te"),
        ("subject=2", "TeTTTTeT"),
        ("subject=2,6-10", "TeTTeTee"),
        ("subject=even", "TeTeeTee"),
        ("subject=odd", "eTeTTeTT"),
        ("split=test", "TeTTeTTe"),
        ("name=c", "TTeTTTTT"),
        ("clip=8", "TTTTTTTe"),
        ("subject/2=1", "eTeTeeTT"),  # 1 2 3 4 6 10 are dealt 1 2 1 2 1 2
        ("clip/2=1", "eTeTeTeT"),
        ("label/3=3", "TTTTTTee"),
    ],
)
def test_a_name_or_a_rule_gives_every_clip_its_role(name: str, expected: str) -> None:
    assert of(name) == expected


def test_folds_of_clips_are_stratified_and_part_the_set() -> None:
    index = pd.DataFrame({"name": range(100), "label": [number * 7 % 4 for number in range(100)]})
    names = protocols.expand(index, {}, "clip/5=*")
    assert names == [f"clip/5={fold}" for fold in range(1, 6)]
    tests = sum((protocols.roles(index, {}, name) == protocols.TEST).astype(int) for name in names)
    assert tests.tolist() == [1] * 100
    for name in names:
        chosen = index["label"][protocols.roles(index, {}, name) == protocols.TEST]
        assert chosen.value_counts().tolist() == [5] * 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xsub", ["xsub"]),
        ("half*", ["half1", "half2"]),
        ("subject=*", [f"subject={subject}" for subject in (1, 2, 3, 4, 6, 10)]),
        ("split=*", ["split=none", "split=test", "split=train"]),
        ("subject=3", ["subject=3"]),
    ],
)
def test_a_star_stands_for_a_family(name: str, expected: list[str]) -> None:
    assert protocols.expand(INDEX, NAMED, name) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("xsubject", r"expected a protocol out of \['xsub', 'half1', 'half2'\], found 'xsubject'"),
        ("fold=1", "fold=1: expected a column out of .*'clip'.*, found 'fold'"),
        ("subject=7", "subject=7: expected values that occur, 1, 2, 3, 4, 6, 10; found '7'"),
        ("subject=1,x", "found 'x'"),
        ("subject=20-30", "found '20-30'"),
        ("split=even", "found 'even'"),
        ("subject/7=1", "expected 2 to 6 groups, as many values as there are, found 7"),
        ("subject/1=1", "expected 2 to 6 groups"),
        ("subject/2=3", "found '3'"),
        ("subject=", "expected a protocol out of"),
    ],
)
def test_what_does_not_exist_is_named(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocols.roles(INDEX, NAMED, name)


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match=r"found none that is like 'fold\*'"):
        protocols.expand(INDEX, NAMED, "fold*")


def test_a_table_makes_the_protocol_again() -> None:
    for protocol in (Protocol("fold", (1,)), Protocol("fold", (1,), (2, 3), (0,))):
        assert protocols.from_table(protocol.table()) == protocol
