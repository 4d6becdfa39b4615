"""Sets in other projects' formats, and back."""

import pickle
import shutil
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from action_indrnn.data_prep import archive, catalogue, exports, ntu, padded, preprocess, protocols
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.data_set import DataSet

from .conftest import person, skeleton_text
from .test_custom import TWELVE, recording
from .test_small_sets import rows
from .test_small_sets import write as write_texts


def imported(form: str, raw: Path, out: Path) -> PreparedSet:
    preprocess.preprocess(catalogue.find(form, [raw]), [raw], out)
    return archive.read(out)


def roles(prepared: PreparedSet, name: str) -> dict[str, int]:
    found = protocols.roles(prepared.index, prepared.meta["protocols"], name)
    return dict(zip(prepared.index["name"], found.tolist(), strict=True))


@pytest.fixture(scope="module")
def exported(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    paths = {"pyskl-pkl": folder / "a.pkl", "ctr-gcn-npz": folder / "a.npz", "stgcn-npy": folder / "a"}
    for form, path in paths.items():
        protocol = "" if form == "pyskl-pkl" else "xsub"
        assert exports.write(made_set, path, form, protocol) == len(made_set.index)  # type: ignore[arg-type]
    assert sorted(folder.iterdir()) == sorted(paths.values())
    return paths


def test_pyskl_and_back_loses_nothing(made_set: PreparedSet, exported: dict, tmp_path: Path) -> None:
    back = imported("pyskl", exported["pyskl-pkl"], tmp_path / "set")
    for name in ("joints.npy",):
        assert (back.path / name).read_bytes() == (made_set.path / name).read_bytes()
    columns = list(made_set.index.columns)
    assert list(back.index.columns) == columns
    assert back.index.equals(made_set.index)
    for key in ("dataset", "title", "classes", "layout", "protocols"):
        assert back.meta[key] == made_set.meta[key]
    assert roles(back, "xsub") == roles(made_set, "xsub")


def test_a_whole_set_is_whole_again_and_its_npz_the_same(made_set: PreparedSet, tmp_path: Path) -> None:
    told = {**made_set.meta["counts"], "clips_of_whole_set": len(made_set.index), "whole": True}
    made = {"view": "camera", "recipe": "ctr-gcn"}
    meta = {**made_set.meta, "dataset": "ntu120", "title": "T", "counts": told, "preprocessing": made}
    ours = PreparedSet(made_set.path, made_set.index, meta)
    exports.write(ours, tmp_path / "a.pkl", "pyskl-pkl")
    back = imported("pyskl", tmp_path / "a.pkl", tmp_path / "back")
    assert (back.meta["dataset"], back.meta["title"], back.meta["counts"]["whole"]) == ("ntu120", "T", True)
    for number, one in enumerate((ours, back)):
        exports.write(one, tmp_path / f"{number}.npz", "ctr-gcn-npz", "xsub")
    with np.load(tmp_path / "0.npz") as first, np.load(tmp_path / "1.npz") as second:
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])


def test_what_a_pickle_says_of_its_set_holds_where_it_is_consistent(tmp_path: Path) -> None:
    clips = [annotation(frame_dir=name, subject=number) for number, name in enumerate("ab")]
    told = {"dataset": "own", "title": "T", "clips_of_whole_set": 5}

    def read(table: object) -> DataSet:
        path = pickled(tmp_path, *clips, set={**told, "protocols": {"given": table}})
        return catalogue.find("pyskl", [path])

    found = read({"column": "subject", "train": [0]})
    assert (found.name, found.title, found.clip_count, found.columns) == ("own", "T", 5, ("subject",))
    assert found.protocols == {"given": protocols.Protocol("subject", (0,))}
    for wrong in ({"column": "subject", "train": [1]}, {"column": "day", "train": [0]}, {"train": "a"}, 7):
        assert read(wrong).protocols["given"].column == "given"
    for change, message in (
        ({"title": 5}, "expected texts as dataset"),
        ({"clips_of_whole_set": -1}, "clips_of"),
    ):
        with pytest.raises(ClipError, match=message):
            catalogue.find("pyskl", [pickled(tmp_path, *clips, set={**told, **change})])


def test_a_split_of_the_name_of_a_column_and_one_of_no_clip(tmp_path: Path) -> None:
    name = "S001C001P001R001A002"
    splits = {"camera_train": [name], "camera_val": [], "x_train": ["other"], "x_val": [name]}
    path = pickled(tmp_path, annotation(frame_dir=name), split=splits)
    found = catalogue.find("pyskl", [path])
    assert found.columns == ("setup", "subject", "replication", "camera", "x")
    assert [note.removeprefix(f"warning: {path}: split: ") for note in found.notes] == [
        "of camera no clip here tests",
        "of x no clip here trains",
    ]
    assert imported("pyskl", path, tmp_path / "set").index.columns.tolist().count("camera") == 1


@pytest.mark.parametrize("form", ["pyskl-pkl", "ctr-gcn-npz", "stgcn-npy"])
def test_a_set_says_where_its_clips_were_made(
    made_set: PreparedSet, exported: dict, tmp_path: Path, form: str
) -> None:
    name = form.removesuffix("-pkl")
    found = imported(name, exported[form], tmp_path / "set").meta["preprocessing"]
    told = made_set.meta["preprocessing"]
    assert told["recipe"] == "tracks"
    assert found == (told if name == "pyskl" else {**told, "recipe": f"imported {name}"})


def test_what_a_pickle_says_of_its_clips(tmp_path: Path) -> None:
    foreign = pickled(tmp_path, annotation())
    assert imported("pyskl", foreign, tmp_path / "a").meta["preprocessing"]["recipe"] == "imported pyskl"
    turned = pickled(tmp_path, annotation(), preprocessing={"recipe": "ctr-gcn", "view": "first-frame"})
    with pytest.raises(ValueError, match=r"expected the view first-frame or whole-clip, .* found 'camera'"):
        imported("pyskl", turned, tmp_path / "b")
    data_set = catalogue.find("pyskl", [turned])
    preprocess.preprocess(data_set, [turned], tmp_path / "b", view="first-frame")
    ours = archive.read(tmp_path / "b")
    assert ours.meta["preprocessing"] == {"view": "first-frame", "recipe": "ctr-gcn", "most_actors": 2}
    expected = annotation()["keypoint"].astype(np.float32)
    np.testing.assert_array_equal(ours.clip(0).joints, expected)  # turned already, and not again
    for wrong in ("text", {"recipe": ""}, {"recipe": 5}, {"view": "side"}):
        with pytest.raises(ValueError, match="preprocessing"):
            catalogue.find("pyskl", [pickled(tmp_path, annotation(), preprocessing=wrong)])


def test_a_pickle_is_written_with_memory_for_a_clip(made_set: PreparedSet, tmp_path: Path) -> None:
    tracemalloc.start()
    exports.write(made_set, tmp_path / "a.pkl", "pyskl-pkl", "")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < made_set.joints.nbytes / 3


def test_the_pickle_is_what_pyskl_expects(made_set: PreparedSet, exported: dict) -> None:
    content = pickle.loads(exported["pyskl-pkl"].read_bytes())
    assert {"xsub_train", "xsub_val", "xview_train", "xview_val"} <= set(content["split"])
    first = content["annotations"][0]
    clip = made_set.clip(0)
    assert (first["frame_dir"], first["total_frames"]) == (clip.name, clip.joints.shape[1])
    np.testing.assert_array_equal(first["keypoint"], clip.joints)
    first["keypoint"][0] = 0  # writable
    assert b"_core" not in exported["pyskl-pkl"].read_bytes()


def test_ctr_gcn_and_back_loses_only_names(made_set: PreparedSet, exported: dict, tmp_path: Path) -> None:
    with np.load(exported["ctr-gcn-npz"]) as content:
        assert content["x_train"].shape == (45, 300, 150)
        assert content["y_test"].shape == (15, len(made_set.classes))
        assert content["x_test"].dtype == np.float32
        assert (content["y_train"].sum(axis=1) == 1).all()
    back = imported("ctr-gcn-npz", exported["ctr-gcn-npz"], tmp_path / "set")
    train = [name for name, role in roles(made_set, "xsub").items() if role == protocols.TRAIN]
    train.sort(key=lambda name: int(name[9:12]))  # by subject
    numbers = [made_set.index["name"].tolist().index(name) for name in train]
    for place in (0, 7, 44):
        ours, theirs = made_set.clip(numbers[place]), back.clip(place)
        assert back.index["label"][place] == made_set.index["label"][numbers[place]]
        for actor in range(len(theirs.joints)):
            last = theirs.joints.shape[1]
            np.testing.assert_array_equal(theirs.joints[actor], ours.joints[actor, :last])
            assert not ours.present[:, last:].any()
    assert back.meta["protocols"]["split"]["clips"] == [45, 15]
    assert back.index["name"][45] == "test1"


def test_st_gcn_and_back(made_set: PreparedSet, exported: dict, tmp_path: Path) -> None:
    data = np.load(exported["stgcn-npy"] / "train_data_joint.npy")
    assert data.shape == (45, 3, 300, 25, 2)
    back = imported("stgcn-npy", exported["stgcn-npy"], tmp_path / "set")
    for number, name in enumerate(back.index["name"]):
        ours = made_set.clip(made_set.index["name"].tolist().index(name))
        theirs = back.clip(number)
        last = theirs.joints.shape[1]
        np.testing.assert_array_equal(theirs.joints, ours.joints[: len(theirs.joints), :last])
        assert not ours.present[:, last:].any()
    assert back.classes == [f"class {number}" for number in range(1, back.index["label"].max() + 2)]
    assert back.index["subject"].tolist() == [int(name[9:12]) for name in back.index["name"]]
    assert roles(back, "split") == roles(made_set, "xsub")


def test_a_lone_actor_of_ntu120_s_recipe_gets_its_twin(made_set: PreparedSet, tmp_path: Path) -> None:
    meta = {**made_set.meta, "dataset": "ntu120", "preprocessing": {"view": "camera", "recipe": "ctr-gcn"}}
    exports.write(PreparedSet(made_set.path, made_set.index, meta), tmp_path / "a.npz", "ctr-gcn-npz", "xsub")
    with np.load(tmp_path / "a.npz") as content:
        joints = content["x_test"].reshape(15, 300, 2, 75)
    alone = (made_set.index["bodies"] == 1)[
        [name[9:12] == "003" for name in made_set.index["name"]]
    ].to_numpy()
    assert [bool((clip[:, 0] == clip[:, 1]).all()) for clip in joints] == alone.tolist()
    assert 0 < alone.sum() < 15


def test_other_joints_travel_by_pyskl_alone(tmp_path: Path) -> None:
    table = np.column_stack([np.random.default_rng(0).uniform(-1, 1, (40, 3)), np.ones(40)])
    names = [f"a{action:02}_s{subject:02}_e01_skeleton3D.txt" for action in (1, 2) for subject in (1, 2)]
    raw = write_texts(tmp_path / "raw", {name: rows(table) for name in names})
    ours = imported("msr-action3d", raw, tmp_path / "set")
    exports.write(ours, tmp_path / "a.pkl", "pyskl-pkl", "subject=2")
    back = imported("pyskl", tmp_path / "a.pkl", tmp_path / "back")
    assert back.meta["layout"] == ours.meta["layout"]
    assert (back.path / "joints.npy").read_bytes() == (ours.path / "joints.npy").read_bytes()
    assert list(roles(back, "subject_2").values()) == list(roles(ours, "subject=2").values())
    with pytest.raises(ValueError, match="expected a set of 25 joints, found 20; pyskl-pkl takes any"):
        exports.write(ours, tmp_path / "a.npz", "ctr-gcn-npz", "xsub")
    with pytest.raises(ValueError, match="expected a --protocol, one of"):
        exports.write(ours, tmp_path / "a", "stgcn-npy")
    with pytest.raises(ValueError, match=r"a\.pkl: expected a new file"):
        exports.write(ours, tmp_path / "a.pkl", "pyskl-pkl")


def annotation(**changes: Any) -> dict[str, Any]:
    points = np.random.default_rng(0).uniform(-1, 1, (1, 5, 25, 3)).astype(np.float16)
    return {"frame_dir": "clip", "label": 1, "total_frames": 5, "keypoint": points, **changes}


def pickled(tmp_path: Path, *annotations: Any, **more: Any) -> Path:
    path = tmp_path / "a.pkl"
    path.write_bytes(
        pickle.dumps({"split": {"train": ["a"], "val": ["b"]}, "annotations": list(annotations), **more})
    )
    return path


def test_a_foreign_pickle_of_float16_and_names_of_its_own(tmp_path: Path) -> None:
    two = np.zeros((2, 7, 25, 3))
    two[1, 3:] = 0.5
    path = pickled(
        tmp_path, annotation(frame_dir="a"), annotation(frame_dir="b", keypoint=two, total_frames=7)
    )
    back = imported("pyskl", path, tmp_path / "set")
    assert back.index[["name", "bodies", "length"]].to_numpy().tolist() == [["a", 1, 5], ["b", 1, 7]]
    assert back.clip(1).present.tolist() == [[False] * 3 + [True] * 4]  # who is never seen is left out
    assert back.classes == ["class 1", "class 2"]
    assert back.meta["protocols"]["given"]["clips"] == [1, 1]


def test_own_data_comes_back_with_its_joints_and_words(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    for number in range(4):
        np.save(tmp_path / "own" / f"{number}.npy", recording("wave", 9 + number))
    lines = [f"{number}.npy,{'ab'[number % 2]},{number},{'wx'[number // 2]}" for number in range(4)]
    (tmp_path / "own" / "clips.csv").write_text("\n".join(["file,label,fold,day", *lines]))
    ours = imported("custom", tmp_path / "own", tmp_path / "set")
    exports.write(ours, tmp_path / "a.pkl", "pyskl-pkl", "day=x")
    back = imported("pyskl", tmp_path / "a.pkl", tmp_path / "back")
    assert (back.path / "joints.npy").read_bytes() == (ours.path / "joints.npy").read_bytes()
    assert back.index[ours.index.columns].equals(ours.index)
    assert (back.meta["layout"], back.classes) == (ours.meta["layout"], ours.classes)
    exports.write(back, tmp_path / "b.pkl", "pyskl-pkl", "")
    again = imported("pyskl", tmp_path / "b.pkl", tmp_path / "again")  # whose split was a column before
    assert again.index.equals(back.index)


def test_an_actor_of_zeros_and_a_lone_one_s_zeros_come_back(tmp_path: Path) -> None:
    zeros = person() * 0
    raw = write_texts(
        tmp_path / "raw",
        {
            "S001C001P001R001A001.skeleton": skeleton_text(
                [[(1, person(t / 9)), (2, zeros)] for t in range(20)]
            ).decode(),
            "S001C001P001R001A002.skeleton": skeleton_text(
                [[(1, zeros if t < 3 else person())] for t in range(20)]
            ).decode(),
        },
    )
    ours = tmp_path / "set"
    preprocess.preprocess(catalogue.find("made"), [raw], ours, recipe="ctr-gcn", view="raw")
    exports.write(archive.read(ours), tmp_path / "a.pkl", "pyskl-pkl", "")
    data_set = catalogue.find("pyskl", [tmp_path / "a.pkl"])
    preprocess.preprocess(data_set, [tmp_path / "a.pkl"], tmp_path / "back", view="raw")
    back = archive.read(tmp_path / "back")
    assert back.index["bodies"].tolist() == [2, 1]
    assert [back.clip(number).present.sum(axis=1).tolist() for number in (0, 1)] == [[20, 0], [20]]
    assert (back.path / "joints.npy").read_bytes() == (ours / "joints.npy").read_bytes()


@pytest.mark.parametrize(
    "present", [np.ones((1, 4), bool), np.ones((1, 5)), np.zeros((1, 5), bool), np.ones((3, 5), bool)]
)
def test_wrong_words_about_who_is_present_are_named(tmp_path: Path, present: np.ndarray) -> None:
    points = np.ones((len(present), 5, 25, 3))
    with pytest.raises(ValueError, match=r"none usable in 1; the first: .* expected 'present' "):
        imported("pyskl", pickled(tmp_path, annotation(present=present, keypoint=points)), tmp_path / "set")


def test_of_three_bodies_in_a_pickle_the_two_that_move_most_stay(tmp_path: Path) -> None:
    points = (
        np.random.default_rng(0).uniform(-1, 1, (3, 5, 25, 3)) * np.array([1, 0.1, 1])[:, None, None, None]
    )
    back = imported("pyskl", pickled(tmp_path, annotation(keypoint=points)), tmp_path / "set")
    clip = back.clip(0)
    moved = points[[0, 2]] - points[0, 0, 1]
    np.testing.assert_allclose(clip.joints, moved, atol=1e-6)
    assert "more than 2 actors" in (tmp_path / "set" / "dropped.csv").read_text()


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("S001C001P001R001A060", "jump up"),  # performer 1 was in setup 1
        ("S001C001P009R001A060", "class 1"),  # performer 9 was not
        ("S001C001P001R001A059", "class 1"),  # is another action
        ("a wave", "class 1"),
    ],
)
def test_ntu_s_class_names_are_for_ntu_s_clips(tmp_path: Path, last: str, expected: str) -> None:
    first = annotation(frame_dir="S001C001P001R001A027", label=26)
    path = pickled(tmp_path, first, annotation(frame_dir=last, label=59))
    classes = catalogue.find("pyskl", [path]).classes
    assert len(classes) == 60
    assert classes[0 if expected == "class 1" else 26] == expected
    only = catalogue.find("pyskl", [pickled(tmp_path, first)]).classes
    assert only == tuple(f"class {number}" for number in range(1, 28))


def test_an_npz_has_ntu_s_class_names_with_ntu_s_counts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npz(
        tmp_path / "a.npz", {**GOOD, **{f"y_{part}": npy(np.eye(2, 60)) for part in ("train", "test")}}
    )
    assert padded.ctr_gcn([path]).classes[0] == "class 1"
    monkeypatch.setitem(ntu.COUNTS, ("ntu60", "xsub"), (2, 2))
    assert padded.ctr_gcn([path]).classes == ntu.actions()[:60]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoint": np.zeros((1, 5, 17, 2), np.float32)}, "found 2D key points, which have no depth"),
        (
            {"keypoint": np.ones((1, 5, 17, 3), np.float32)},
            r"expected \(M, T, 25, 3\) and T frames, found \(1, 5, 17",
        ),
        ({"keypoint": np.zeros((1, 5, 25, 3))}, "expected a body, found none in 5 frames"),
        ({"keypoint": np.full((1, 5, 25, 3), np.nan)}, "expected metres within"),
        ({"keypoint": "text"}, r"expected key points \(M, T, V, C\) of floats"),
        ({"total_frames": 6}, "and 6 frames"),
        ({"label": -1}, "expected labels from 0 to 9999, found -1"),
        ({"label": 10**9}, "expected labels from 0 to 9999"),
    ],
)
def test_a_wrong_annotation_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        imported("pyskl", pickled(tmp_path, annotation(**changes)), tmp_path / "set")


def test_pickles_of_other_things_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match=r"b\.pkl: expected a dictionary with 'split' and 'annotations'"):
        imported("pyskl", tmp_path / "b.pkl", tmp_path / "set")
    with pytest.raises(
        ValueError, match="annotation 0: expected frame_dir, label, total_frames, keypoint; no label"
    ):
        imported("pyskl", pickled(tmp_path, {"frame_dir": "a"}), tmp_path / "set")
    with pytest.raises(ValueError, match="split: expected lists as xsub_train and xsub_val, found 'odd'"):
        imported("pyskl", pickled(tmp_path, annotation(), split={"odd": []}), tmp_path / "set")
    with pytest.raises(ValueError, match="expected lists as xsub_train and xsub_val, found 'label_train'"):
        imported("pyskl", pickled(tmp_path, annotation(), split={"label_train": []}), tmp_path / "set")
    with pytest.raises(ValueError, match=r"a\.pkl: layout: expected a joint layout out of .* found '\.\./x'"):
        imported("pyskl", pickled(tmp_path, annotation(), layout="../x"), tmp_path / "set")
    with pytest.raises(ValueError, match=r"a\.pkl: layout: expected the key 'joints', found \['name'\]"):
        imported("pyskl", pickled(tmp_path, annotation(), layout={"name": "x"}), tmp_path / "set")
    named = pickled(tmp_path, annotation(frame_dir="a\n\x1b[2J"), classes=["wave\n", "\u202e"])
    shown = imported("pyskl", named, tmp_path / "set")
    assert (shown.classes, shown.index["name"][0]) == (["wave\\n", "\\u202e"], "a\\n\\x1b[2J")
    with pytest.raises(ValueError, match="columns: expected numbers or texts, found none as 'day'"):
        imported("pyskl", pickled(tmp_path, annotation(), columns=["day"]), tmp_path / "set")
    with pytest.raises(ValueError, match="expected one pickle, found 0 paths"):
        catalogue.find("pyskl", [])


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    header = repr({"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}).encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + array.tobytes()


GOOD = {
    **{f"x_{part}": npy(np.ones((2, 4, 150), np.float32)) for part in ("train", "test")},
    **{f"y_{part}": npy(np.eye(2, 3)) for part in ("train", "test")},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_train": npy(np.ones((2, 4, 75), np.float32))},
            r"x_train: expected \(2, T, 150\), found \(2, 4, 75\)",
        ),
        ({"x_train": npy(np.ones((3, 4, 150), np.float32))}, r"expected \(2, T, 150\), found \(3, 4, 150\)"),
        ({"x_train": npy(np.ones((1, 4, 150), np.float32), (2, 4, 150))}, "expected 2 items, found the end"),
        (
            {"x_train": npy(np.ones(5, np.float32), (2, 10**12, 150))},
            "x_train: expected floats of 3 dimensions",
        ),
        ({"y_train": npy(np.ones((2, 3)))}, "y_train: clip 1: expected one 1 among zeros"),
        ({"y_train": npy(np.eye(2, 3), (10**12, 3))}, "y_train: expected at most 3000000 clips, found 10000"),
        ({"y_train": npy(np.eye(2, 3), (3, 3))}, "y_train: expected 3 items, found the end"),
        ({"y_train": npy(np.ones(3), (1, 10**7))}, "expected floats of 2 dim"),
        (
            {"y_train": npy(np.arange(2))},
            r"expected floats of 2 dimensions \(one-hot labels, .* found int64 of",
        ),
        ({"y_test": npy(np.eye(2, 4))}, "expected as many classes in y_test as in y_train"),
        ({"x_test": npy(np.zeros((2, 4), object).astype("S8"))}, "x_test: expected floats"),
        ({"x_test": b"text"}, "x_test: expected an .npy array"),
        ({"y_test": b"\x93NUMPY\1\0\x05\0(((((" + bytes(60)}, "y_test: expected an .npy array"),
    ],
)
def test_a_wrong_npz_is_named(tmp_path: Path, changes: dict[str, bytes], message: str) -> None:
    assert len(imported("ctr-gcn-npz", npz(tmp_path / "good.npz", GOOD), tmp_path / "good").index) == 4
    with pytest.raises(ValueError, match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imported("ctr-gcn-npz", npz(tmp_path / "a.npz", {**GOOD, **changes}), tmp_path / "set")


def test_bombs_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    zeros = {**GOOD, "x_train": npy(np.zeros((2000, 300, 150), np.float32)[:2])}
    path = npz(tmp_path / "a.npz", zeros, zipfile.ZIP_DEFLATED)
    with pytest.raises(ClipError, match="x_train: expected at most 200 times the packed size, found more"):
        imported("ctr-gcn-npz", path, tmp_path / "set")
    content = bytearray(npz(tmp_path / "b.npz", GOOD).read_bytes())
    content[500] ^= 1
    (tmp_path / "b.npz").write_bytes(bytes(content))
    with pytest.raises(ClipError, match="cannot be read: Bad CRC-32"):
        imported("ctr-gcn-npz", tmp_path / "b.npz", tmp_path / "set")
    (tmp_path / "c.npz").write_bytes(b"PK")
    with pytest.raises(ClipError, match="y_train: cannot be read"):
        padded.ctr_gcn([tmp_path / "c.npz"])


def test_labels_of_a_packed_npz_may_pack_well(tmp_path: Path) -> None:
    labels = npy(np.eye(60)[np.sort(np.arange(40_000) % 60)])
    clips = np.zeros((40_000, 1, 150), np.float32)
    clips[:, 0, :75] = np.random.default_rng(0).integers(1, 2**16, (40_000, 1))
    path = npz(
        tmp_path / "a.npz",
        {**GOOD, "x_train": npy(clips), "y_train": labels, "y_test": npy(np.eye(2, 60))},
        zipfile.ZIP_DEFLATED,
    )
    with zipfile.ZipFile(path) as archive:
        packed = archive.getinfo("y_train.npy")
    assert packed.file_size > 200 * packed.compress_size
    bomb = {**GOOD, "y_train": npy(np.zeros((40_000, 60)))}
    with pytest.raises(ClipError, match="y_train: expected at most 1100 times the packed size"):
        padded.ctr_gcn([npz(tmp_path / "b.npz", bomb, zipfile.ZIP_BZIP2)])
    found = padded.ctr_gcn([path])
    assert (len(found.classes), sum(1 for _ in found.listed())) == (60, 40_002)


def test_wrong_st_gcn_folders_are_named(exported: dict, tmp_path: Path) -> None:
    folder = shutil.copytree(exported["stgcn-npy"], tmp_path / "a")
    np.save(folder / "val_data_joint.npy", np.zeros((15, 3, 10, 18, 2), np.float32))
    with pytest.raises(ValueError, match=r"expected \(15, 3, T, 25, 1 or 2\), as many clips as names, found"):
        imported("stgcn-npy", folder, tmp_path / "set")
    (folder / "val_label.pkl").write_bytes(pickle.dumps((["a"], [1, 2])))
    with pytest.raises(ValueError, match=r"val_label\.pkl: expected \(names, labels\)"):
        padded.st_gcn([folder])
    (folder / "val_label.pkl").unlink()
    with pytest.raises(ClipError, match=r"val_label\.pkl: expected a file of names and labels, found none"):
        padded.st_gcn([folder])
    with pytest.raises(ValueError, match="expected one folder of train_data_joint"):
        padded.st_gcn([folder / "val_label.pkl"])
