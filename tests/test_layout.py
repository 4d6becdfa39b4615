import pytest

from action_indrnn.data_prep import layout

# 1-based pairs as CTR-GCN's feeders/bone_pairs.py and ntu.md print them
BONES = (
    "(1,2)(2,21)(3,21)(4,3)(5,21)(6,5)(7,6)(8,7)(9,21)(10,9)(11,10)(12,11)(13,1)(14,13)(15,14)(16,15)(17,1)"
    "(18,17)(19,18)(20,19)(22,23)(23,8)(24,25)(25,12)"
)


def test_ntu25_has_the_published_bones_and_pairs() -> None:
    ntu25 = layout.load("ntu25")
    assert len(ntu25.joints) == 25
    assert "".join(f"({child + 1},{parent + 1})" for child, parent in ntu25.bones) == BONES
    pairs = "5-9 6-10 7-11 8-12 13-17 14-18 15-19 16-20 22-24 23-25"
    assert " ".join(f"{left + 1}-{right + 1}" for left, right in ntu25.pairs) == pairs
    assert ntu25.joints[ntu25.centre] == "middle of spine"


def test_table_round_trip() -> None:
    ntu25 = layout.load("ntu25")
    assert layout.from_table(ntu25.table(), "a.toml") == ntu25


def test_wrong_tables_are_refused() -> None:
    table = layout.load("ntu25").table()
    with pytest.raises(ValueError, match=r"a\.toml: bones: expected one of the 25 joints, found 'hip'"):
        layout.from_table({**table, "bones": [["hip", "neck"]]}, "a.toml")
    with pytest.raises(ValueError, match=r"a\.toml: expected the key 'pairs'"):
        layout.from_table({key: value for key, value in table.items() if key != "pairs"}, "a.toml")
    with pytest.raises(ValueError, match="expected each joint once"):
        layout.from_table({**table, "joints": ["neck", "neck"]}, "a.toml")
    with pytest.raises(ValueError, match="expected a joint layout out of"):
        layout.load("ntu26")
