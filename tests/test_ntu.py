import pytest

from action_indrnn.data_prep import ntu
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.ntu import ClipName


def test_missing_clips() -> None:
    missing = [ntu.parse_name(name) for name in ntu.missing()]
    assert len(missing) == 535
    assert sum(name.setup <= 17 for name in missing) == 302


def test_actions() -> None:
    assert len(ntu.actions()) == len(set(ntu.actions())) == 120
    assert (ntu.actions()[0], ntu.actions()[49]) == ("drink water", "punching/slapping other person")


def test_counts_add_up_to_the_clips() -> None:
    for (dataset, _), counts in ntu.COUNTS.items():
        assert sum(counts) == ntu.CLIPS[dataset]


def test_train_sets_have_the_published_sizes() -> None:
    assert len(set(ntu.TRAIN_SUBJECTS_60)) == 20
    assert len(set(ntu.TRAIN_SUBJECTS_120)) == 53
    assert len(ntu.TRAIN_SETUPS) == 16


def test_names() -> None:
    name = ntu.parse_name("S001C002P003R002A120")
    assert name == ClipName(1, 2, 3, 2, 120)
    assert str(name) == "S001C002P003R002A120"
    for wrong in (
        "S001C002P003R002A12",
        "S001C002P003R002A120x",
        "s001c002p003r002a120",
        "",
        "S٠٠١C002P003R002A120",
    ):
        with pytest.raises(ClipError, match="expected a clip name like"):
            ntu.parse_name(wrong)


def test_split_leaves_out_missing_and_foreign_clips() -> None:
    gone = min(name for name in ntu.missing() if name < "S018")
    names = [
        gone,
        "S018C001P008R001A061",
        "S001C002P001R001A001",
        "S001C001P001R001A001",
        "S001C003P003R001A060",
    ]
    assert ntu.split(names, "ntu60", "xsub") == (names[2:4], names[4:])
    assert ntu.split(names, "ntu60", "xview") == ([names[2], names[4]], [names[3]])
    assert ntu.split(names, "ntu120", "xset") == ([names[1]], names[2:])
    with pytest.raises(ValueError, match="expected a protocol"):
        ntu.split(names, "ntu60", "xset")
    with pytest.raises(ValueError, match="expected a data set"):
        ntu.split(names, "ntu", "xsub")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("S018C001P001R001A001", "setup"),
        ("S001C004P001R001A001", "camera"),
        ("S001C001P041R001A001", "subject"),
        ("S001C001P001R003A001", "replication"),
        ("S001C001P001R001A061", "action"),
    ],
)
def test_a_clip_of_another_set_is_named(name: str, field: str) -> None:
    with pytest.raises(ClipError, match=f"{name}: not a clip of ntu60: expected {field}"):
        ntu.check_name(ntu.parse_name(name), "ntu60")


def test_setups_and_actions_belong_together_in_ntu120() -> None:
    ntu.check_name(ClipName(18, 1, 1, 1, 61), "ntu120")
    with pytest.raises(ClipError, match="action 61 to 120"):
        ntu.check_name(ClipName(18, 1, 1, 1, 60), "ntu120")


def test_all_names_divide_as_published() -> None:
    for dataset, total in (("ntu60", 56_880), ("ntu120", 114_480)):
        names = list(map(str, ntu.names(dataset)))
        assert len(set(names)) == total
        assert names == sorted(names)
        assert len(set(names) & ntu.missing()) == total - ntu.CLIPS[dataset]
        for protocol in ntu.PROTOCOLS[dataset]:
            train, test = ntu.split(names, dataset, protocol)
            assert (len(train), len(test)) == ntu.COUNTS[dataset, protocol]
