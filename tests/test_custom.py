"""Own data, from interchange files and a layout alone to a verdict."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from action_indrnn.data_prep import archive, custom, layout
from action_indrnn.data_prep.data_set import Left, Sample

from .test_cli import call

TWELVE = {
    "name": "twelve",
    "unit": "mm",
    "up": "z",
    "joints": [
        *("waist", "chest", "head", "tail"),
        *(f"{side} {joint}" for side in ("left", "right") for joint in ("shoulder", "hand", "knee", "foot")),
    ],
    "centre": "chest",
    "bones": [
        *(["waist", "chest"], ["head", "chest"], ["tail", "waist"]),
        *(
            [f"{side} {child}", f"{side} {parent}" if parent == "shoulder" else parent]
            for side in ("left", "right")
            for child, parent in (("shoulder", "chest"), ("hand", "shoulder"), ("knee", "waist"))
        ),
        *([f"{side} foot", f"{side} knee"] for side in ("left", "right")),
    ],
    "pairs": [[f"left {joint}", f"right {joint}"] for joint in ("shoulder", "hand", "knee", "foot")],
    "across": [["left shoulder", "right shoulder"]],
}
RNG = np.random.default_rng(0)
POSE = RNG.uniform(-800, 800, (12, 3))  # millimetres, z up
LEARNS = (
    *("model.units=16", "model.blocks=1", "model.dropout=0", "train.batch=8", "train.max_epochs=25"),
    *("train.learning_rate=1e-2", "evaluate.passes=4"),
)
SUBJECTS, CLASSES = 4, ("jump", "wave")


def recording(label: str, length: int) -> np.ndarray:
    """(T, 12, 3) a body whose hand waves, or that jumps as a whole."""
    joints = np.tile(POSE, (length, 1, 1)) + RNG.normal(0, 5, (length, 12, 3))
    swing = 400 * np.sin(np.arange(length) / 2)
    if label == "wave":
        joints[:, TWELVE["joints"].index("left hand"), 0] += swing
    else:
        joints[..., 2] += swing[:, None]
    return joints


def write_clip(path: Path, joints: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, joints)
    elif path.suffix == ".json":
        frames = [{"bodies": [{"joints": frame.tolist()}]} for frame in joints]
        path.write_text(json.dumps({"joints": TWELVE["joints"], "frames": frames}))
    else:
        lines = ["frame,joint,x,y,z"]
        for at, frame in enumerate(joints):
            lines += [
                f"{at},{name},{x},{y},{z}" for name, (x, y, z) in zip(TWELVE["joints"], frame, strict=True)
            ]
        path.write_text("\n".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own") / "own"
    (out / "more").mkdir(parents=True)
    (out / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    lines = ["file,label,subject,fold,split"]
    for number in range(32):
        label, subject = CLASSES[number % 2], f"p{number // 2 % SUBJECTS + 1}"
        file = f"{'more/' if number % 3 else ''}clip{number}{('.npy', '.json', '.csv')[number % 3]}"
        write_clip(out / file, recording(label, 20 + number))
        lines.append(f"{file},{label},{subject},{number % 4 + 1},{'test' if subject == 'p4' else 'train'}")
    (out / "clips.csv").write_text("\n".join(lines))
    return out


def test_another_joint_set_trains_evaluates_and_classifies(
    folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    prepared, run = tmp_path / "set", tmp_path / "run"
    assert call(monkeypatch, "preprocess", "custom", folder, prepared) == 0
    told = capsys.readouterr()
    assert "32 clips of own" in told.out
    assert "any of subject=..., fold=..., split=..., clip/5=..." in told.out
    own = archive.read(prepared)
    assert own.classes == list(CLASSES)
    first = own.clip(0)
    joints = np.load(folder / "clip0.npy")
    expected = (joints - joints[0, 1])[..., [0, 2, 1]] * (0.001, 0.001, -0.001)
    np.testing.assert_allclose(first.joints[0], expected, atol=1e-6)
    assert own.index["name"][1] == "more/clip1"

    settings = [word for setting in LEARNS for word in ("--set", setting)]
    train = ("train", "residual", prepared, "--protocol", "split=test", "--out", run, *settings)
    assert call(monkeypatch, *train) == 0
    model = run / "model.safetensors"
    assert call(monkeypatch, "evaluate", model, prepared, "--protocol", "split=test") == 0
    assert "top-1 100.00%" in capsys.readouterr().out
    clips = [folder / "clip0.npy", folder / "more" / "clip1.json", folder / "more" / "clip2.csv"]
    assert call(monkeypatch, "classify", model, *clips, "--json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["actions"][0]["action"] for answer in answers] == ["jump", "wave", "jump"]

    index = prepared / "index.csv"
    index.write_text(index.read_text().replace("subject", "person", 1))  # which a test does not need
    assert call(monkeypatch, "evaluate", model, prepared, "--protocol", "split=test") == 0
    assert "top-1 100.00%" in capsys.readouterr().out

    wrong = tmp_path / "wrong.json"
    wrong.write_text((folder / "more" / "clip1.json").read_text().replace("tail", "nose"))
    assert call(monkeypatch, "classify", model, wrong) == 1
    message = f"{wrong}: expected the 12 joints of twelve, found 12; missing: tail; too many: nose"
    assert message in capsys.readouterr().err
    np.save(tmp_path / "kinect.npy", RNG.uniform(-1, 1, (9, 25, 3)))
    assert call(monkeypatch, "classify", model, tmp_path / "kinect.npy") == 1
    assert "found 25 without names; so many have ntu25" in capsys.readouterr().err


def test_an_npz_is_the_same_set(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(tomli_w.dumps(TWELVE))
    clips = [recording("wave", length) for length in (3, 5)]
    padded = np.full((2, 6, 1, 12, 3), np.nan)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip), 0] = clip
    columns = {"label": np.array([7, 3]), "camera": np.array([2, 1]), "day": np.array(["mon", "tue"])}
    path = tmp_path / "own.npz"
    found = []
    for joints in (
        {"joints": padded},
        {"joints": np.concatenate(clips)[:, None], "length": np.array([3, 5])},
    ):
        np.savez(path, **joints, **columns, name=np.array(["a", "b"]))
        data_set = custom.data_set([path])
        assert data_set.classes == ("3", "7")
        found.append(list(data_set.samples([path])))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.clip.joints, other.clip.joints)
    assert [sample.clip.present.shape for sample in found[0]] == [(1, 3), (1, 5)]
    assert [sample.columns for sample in found[0]] == [
        {"label": 1, "camera": 2, "day": "mon"},
        {"label": 0, "camera": 1, "day": "tue"},
    ]


def test_a_bad_clip_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", recording("wave", 4))
    (tmp_path / "bad.npy").write_bytes(b"no array")
    (tmp_path / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    (tmp_path / "clips.csv").write_text("file,label\ngood.npy,1\nbad.npy,1\nabsent.npy,2\nodd.txt,2\n")
    data_set = custom.data_set([tmp_path])
    left = {one.name: one.reason for one in data_set.samples([tmp_path]) if isinstance(one, Left)}
    assert left["bad"].startswith(f"{tmp_path / 'bad.npy'}: expected an .npy array")
    assert left["absent"] == f"{tmp_path / 'absent.npy'}: cannot be read: No such file or directory"
    assert "expected a file .skeleton, .npy" in left["odd"]
    assert len(left) == 3


def test_words_that_a_screen_would_obey_are_letters(tmp_path: Path) -> None:
    (tmp_path / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    np.save(tmp_path / "a\x1b[2J.npy", recording("wave", 4))
    (tmp_path / "clips.csv").write_text("file,label,day\na\x1b[2J.npy,wa\u202eve,\x07\n")
    data_set = custom.data_set([tmp_path])
    (sample,) = data_set.samples([tmp_path])
    assert isinstance(sample, Sample)
    assert (sample.clip.name, sample.columns["day"]) == ("a\\x1b[2J", "\\x07")
    assert data_set.classes == ("wa\\u202eve",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,action\na.npy,1\n", r"clips\.csv:1: expected columns file and label"),
        ("file,lable\na.npy,1\n", r"clips\.csv:1: expected .*; is 'lable' meant to be 'label'\?"),
        ("file,label\n", r"clips\.csv: expected a line for every clip, found none"),
        ("file,label\na.npy\n", r"clips\.csv:2: expected 2 fields, found 1"),
        ("file,label,fold\na.npy,1,\n", r"clips\.csv:2: expected 3 fields, found 3, 1 of them empty"),
        ("file,label\n../a.npy,1\n", r"expected files below the folder, found '\.\./a\.npy'"),
        ("file,label,start\na.npy,1,2\n", r"none of name, start, length, bodies, clip; found 'start'"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        custom.data_set([tmp_path])


def test_columns_called_nearly_as_others_and_what_cannot_be_checked_are_told(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    np.save(tmp_path / "a.npy", recording("wave", 4))
    (tmp_path / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    (tmp_path / "clips.csv").write_text("file,label,subjects,day,fold\na.npy,1,1,2,3\n")
    assert call(monkeypatch, "preprocess", "custom", tmp_path, tmp_path / "set") == 0
    warned, unchecked = capsys.readouterr().err.splitlines()
    assert warned.endswith("clips.csv: column 'subjects' is one of its own; did you mean 'subject'?")
    assert unchecked == (
        "action-indrnn: twelve: it cannot be told whether left and right are swapped: no line across, or no "
        "bone from ankle to foot or toe, or of leg or arm; whether up is down: no joint named head or nose, "
        "or none hip or pelvis"
    )
    path = tmp_path / "own.npz"
    np.savez(path, joints=np.zeros((1, 2, 1, 12, 3)), label=np.array([1]), names=np.array(["a"]))
    (note,) = custom.data_set([path]).notes
    assert "column 'names'" in note
    assert "'name'?" in note
    np.savez(path, joint=np.zeros((1, 2, 1, 12, 3)), label=np.array([1]))
    with pytest.raises(ValueError, match="found no joints; is 'joint' meant to be it"):
        custom.data_set([path])


@pytest.mark.parametrize("recipe", ["live", "best"])
def test_a_hand_without_left_and_right_trains_by_the_recipes(
    tmp_path: Path, monkeypatch, capsys, recipe: str
) -> None:
    fingers = [f"finger {number}" for number in range(5)]
    bones = [["palm", "wrist"], *([finger, "palm"] for finger in fingers)]
    hand = {"name": "hand", "joints": ["wrist", "palm", *fingers], "centre": "palm", "bones": bones}
    lengths = [1, *RNG.integers(3, 40, 39)]
    labels = [number % 2 for number in range(40)]
    pose = RNG.uniform(-0.1, 0.1, (7, 3))
    clips = [np.tile(pose, (length, 1, 1)) + RNG.normal(0, 1e-3, (length, 7, 3)) for length in lengths]
    for clip, label in zip(clips, labels, strict=True):
        clip[:, 2 + label, 1] += np.linspace(0, 0.2, len(clip))
    clips[3][1, 4] = clips[5][:2] = np.nan
    np.savez(
        tmp_path / "hand.npz",
        joints=np.concatenate(clips)[:, None],
        length=lengths,
        label=labels,
        subject=[1 + number // 4 % 5 for number in range(40)],
    )
    (tmp_path / "hand.toml").write_text(tomli_w.dumps(hand))
    raw, out = tmp_path / "hand.npz", tmp_path / "set"
    assert call(monkeypatch, "preprocess", "custom", raw, out, "--view", "first-frame") == 1
    assert "hand: expected a line 'across' in the layout for the view first-frame" in capsys.readouterr().err
    assert call(monkeypatch, "preprocess", "custom", raw, out) == 0
    small = ("model.units=16", "model.dropout=0.2", "train.max_epochs=1", "train.min_steps=60")
    options = [word for setting in small for word in ("--set", setting)]
    run = tmp_path / "run"
    assert call(monkeypatch, "train", recipe, out, "--protocol", "subject=5", "--out", run, *options) == 0
    report = json.loads((run / "report.json").read_text())
    assert (report["clips"], report["top1"]) == (8, 1.0)


def test_a_layout_file_starts_from_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "layout.toml"
    path.write_text('layout = "h36m17"\nup = "z"\nunit = "mm"\nmap_to = "ntu25"\n')
    own, target = layout.read(path)
    assert (own.joints, own.up, own.unit, target) == (layout.load("h36m17").joints, "z", "mm", "ntu25")
    for text, message in (
        ('layout = "coco17"', "coco17: expected joints in 3D"),
        ('layout = "h36m17"\nmirored = true', "did you mean 'mirrored'"),
        ('layout = "h36m17"\nup = "w"', "up: expected one of"),
        ('layout = "sbu15"\nmap_to = "ntu25"', r"map_to: expected a table \[to\.ntu25\], what its joints"),
        ("layout = ", r"layout\.toml: expected TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            layout.read(path)


def test_the_layout_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "own-data.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```toml\n")[1:]]
    found = []
    for block in blocks:
        path = tmp_path / "layout.toml"
        path.write_text(block, encoding="utf-8")
        own, target = layout.read(path)
        found.append((len(own.joints), own.unit, own.up, target))
    assert found == [(5, "mm", "z", ""), (17, "mm", "z", "ntu25")]


def test_bones_must_be_a_tree() -> None:
    loop = {**TWELVE, "bones": [*TWELVE["bones"][1:], ["waist", "tail"]]}
    with pytest.raises(ValueError, match=r"expected bones .* hang every joint"):
        layout.from_table(loop, "a.toml")
    with pytest.raises(ValueError, match="nobody's child: waist, chest"):
        layout.from_table({**TWELVE, "bones": TWELVE["bones"][1:]}, "a.toml")
    table = layout.load("azure32").table()
    table["to"]["ntu25"]["head"] = {"head": 0.5, "nose": 0.4}
    with pytest.raises(ValueError, match=r"to: head: expected .* shares that sum to 1"):
        layout.from_table(table, "a.toml")
    assert tomllib.loads(tomli_w.dumps(table))["to"]["ntu25"]["neck"] == {"neck": 1.0}
