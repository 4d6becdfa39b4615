from pathlib import Path

import pytest
import tomli_w

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
    with pytest.raises(ValueError, match=r"a\.toml: expected the key 'bones'"):
        layout.from_table({key: value for key, value in table.items() if key != "bones"}, "a.toml")
    with pytest.raises(ValueError, match=r"but one on another; nobody's child: neck, spine at shoulders$"):
        bones = [row for row in table["bones"] if row[0] != "neck"]
        layout.from_table({**table, "bones": bones}, "a.toml")
    with pytest.raises(ValueError, match="expected each joint once"):
        layout.from_table({**table, "joints": ["neck", "neck"]}, "a.toml")
    for change, message in (
        ({"mirored": True}, r"a\.toml: unknown key 'mirored'; did you mean 'mirrored'\?"),
        ({"fps": 30}, r"a\.toml: unknown key 'fps'; known are across, bones, centre, "),
        ({"to": 5}, "to: expected a table of tables, found 5"),
        ({"to": {"ntu25": 5}}, "to: expected a table of tables"),
        ({"pairs": [["neck", "neck"]]}, "pairs: expected pairs of two joints, found 'neck' twice in one"),
        ({"name": ""}, "expected a text as 'name'"),
    ):
        with pytest.raises(ValueError, match=message):
            layout.from_table({**table, **change}, "a.toml")
    with pytest.raises(ValueError, match="expected a joint layout out of"):
        layout.load("ntu26")


def test_a_layout_may_know_no_left_and_right() -> None:
    table = layout.load("ntu25").table()
    del table["pairs"], table["across"]
    hand = layout.from_table(table | {"name": "hand"}, "hand.toml")
    assert (hand.pairs, hand.across) == ((), ())
    assert layout.from_table(hand.table(), "hand.toml") == hand


def test_joint_sets_of_as_many_joints_are_told_by_the_whole_number() -> None:
    ntu25 = layout.load("ntu25")
    assert "so many have h36m17, COCO's 17 key points (2D)" in layout.miscounted(ntu25, 17)
    assert "so many have" not in layout.miscounted(ntu25, 7)


def test_a_map_of_a_file_is_held_against_its_target(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    rows = {joint: list(given) for joint, given in layout.load("h36m17").table()["to"]["ntu25"].items()}
    rows["neckk"] = rows.pop("neck")
    path.write_text(tomli_w.dumps({"layout": "h36m17", "to": {"ntu25": rows}}))
    with pytest.raises(ValueError, match=r"a\.toml: to\.ntu25: .* missing: neck; too many: neckk"):
        layout.read(path)
    path.write_text('layout = "h36m17"\nmapto = "ntu25"\n')
    with pytest.raises(ValueError, match=r"a\.toml: unknown key 'mapto'; did you mean 'map_to'\?"):
        layout.read(path)
