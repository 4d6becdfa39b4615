"""The readers of the small data sets, on made files; with the real archives at hand, on those too.

The environment variable ACTION_INDRNN_DATA names a folder that holds some of sbu.zip, msr-action3d.zip,
utkinect.zip, florence3d.zip, nw-ucla.zip and utd-mhad.zip; the tests of the others are skipped.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from action_indrnn import splits
from action_indrnn.data_prep import archive, catalogue, layout, preprocess, protocols
from action_indrnn.data_prep.data_set import Left, Sample
from action_indrnn.data_prep.untrimmed import Action

from .test_sources import make_zip

DATA = os.environ.get("ACTION_INDRNN_DATA", "")
RNG = np.random.default_rng(0)


def read(name: str, *raw: Path) -> tuple[list[Sample], list[Left]]:
    samples = catalogue.find(name).samples
    assert samples is not None
    every = list(samples(raw))
    return [one for one in every if isinstance(one, Sample)], [one for one in every if isinstance(one, Left)]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def rows(table: np.ndarray, separator: str = " ", end: str = "\n") -> str:
    return "".join(separator.join(f"{value:.9f}" for value in row) + end for row in table)


def test_sbu(tmp_path: Path) -> None:
    joints = RNG.uniform(-1.2, 1.2, (2, 5, 15, 3))  # metres
    stored = joints.transpose(1, 0, 2, 3) * 1000
    stored = np.stack(
        [(1280 - stored[..., 0]) / 2560, (960 - stored[..., 1]) / 1920, stored[..., 2] * 7.8125 / 10000], -1
    )
    lines = rows(np.column_stack([np.arange(7, 12), stored.reshape(5, -1)]), ",", "\r\n")
    raw = write(
        tmp_path / "SBU",
        {
            "s02s03/08/001/skeleton_pos.txt": lines,
            "s02s03/01/002/skeleton_pos.txt": lines.replace(",", ";"),
            "s02s04/01/001/skeleton_pos.txt": lines,
            "s02s03/09/001/skeleton_pos.txt": lines,
            "s02s03/02/001/skeleton_pos.txt": "",
            "s02s03/notes.txt": "",
        },
    )
    (sample,), left = read("sbu", raw)
    assert sample.clip.name == "s02s03_08_001"
    np.testing.assert_allclose(sample.clip.joints, joints, atol=1e-5)
    assert sample.columns == {"label": 7, "subject": 203, "replication": 1, "fold": 2}
    reasons = {one.name: one.reason for one in left}
    assert reasons["s02s03_01_002"].endswith("skeleton_pos.txt:1: expected 91 numbers, found 1")
    assert "expected one of the 21 pairs and action 1 to 8" in reasons["s02s04_01_001"]
    assert "expected one of the 21 pairs and action 1 to 8" in reasons["s02s03_09_001"]
    assert reasons["s02s03_02_001"].endswith(":1: expected 91 numbers, found 1")


def test_msr_action3d(tmp_path: Path) -> None:
    joints = RNG.uniform(-1, 1, (4, 20, 3))
    joints[2] = 0  # nobody
    table = np.column_stack([joints.reshape(-1, 3), np.ones(80)])
    good = rows(table)
    raw = make_zip(
        tmp_path / "a.zip",
        {
            "any/a13_s02_e03_skeleton3D.txt": good.encode(),
            "any/a13_s09_e03_skeleton3D.txt": good.encode(),  # one of the ten
            "any/a13_s03_e01_skeleton3D.txt": rows(table[:50]).encode(),
            "any/a13_s03_e02_skeleton3D.txt": good.replace("1.000000000", "nan", 1).encode(),
            "any/a13_s03_e03_skeleton3D.txt": rows(table * 0).encode(),
            "any/a21_s03_e01_skeleton3D.txt": good.encode(),
            "any/a13_s04_e01_skeleton3D.txt": rows(table * 1000).encode(),
        },
    )
    (sample,), left = read("msr-action3d", raw)
    assert sample.clip.name == "a13_s02_e03"
    np.testing.assert_allclose(sample.clip.joints[0], joints, atol=1e-6)
    assert sample.clip.present.tolist() == [[True, True, False, True]]
    assert sample.columns == {"label": 12, "subject": 2, "replication": 3}
    expected = {
        "a13_s09_e03": "on the list of clips that the published protocols leave out",
        "a13_s03_e01": "expected 20 lines a frame, found 50 lines",
        "a13_s03_e02": "skeleton3D.txt:1: expected finite numbers",
        "a13_s03_e03": "expected a body, found none in 4 frames",
        "a21_s03_e01": "expected action 1 to 20",
        "a13_s04_e01": "expected metres within +-100, found ",
    }
    for one in left:
        assert expected.pop(one.name) in one.reason
    assert not expected


def test_msr_action3d_s_limbs_of_confidence_0_keep_the_bone_that_they_last_had(tmp_path: Path) -> None:
    joints = RNG.uniform(-1, 1, (5, 20, 3))
    confidence = np.ones((5, 20))
    confidence[:, [2, 3, 4, 6]] = 0  # the trunk: as recorded
    confidence[0, 10] = 0  # the right wrist, before it is first seen: as recorded
    confidence[2:4, 9] = 0  # the left wrist
    confidence[3, 16] = 0  # the right ankle, and the foot with it
    joints[1], confidence[1] = 0, 0  # nobody
    table = np.column_stack([joints.reshape(-1, 3), confidence.ravel()])
    (sample,), _ = read("msr-action3d", write(tmp_path / "raw", {"a01_s01_e01_skeleton3D.txt": rows(table)}))
    expected = joints.copy()
    expected[2:4, 9] = joints[2:4, 7] + joints[0, 9] - joints[0, 7]  # on the left elbow
    expected[3, 16] = joints[3, 14] + joints[2, 16] - joints[2, 14]  # on the right knee
    expected[3, 18] = expected[3, 16] + joints[2, 18] - joints[2, 16]
    np.testing.assert_allclose(sample.clip.joints[0], expected, atol=1e-6)
    assert sample.clip.present.tolist() == [[True, False, True, True, True]]


def test_utkinect(tmp_path: Path) -> None:
    joints = RNG.uniform(-1, 1, (7, 20, 3))
    index = [10, 12, 12, 16, 18, 30, 32]
    raw = write(
        tmp_path / "raw",
        {
            "joints/joints_s03_e02.txt": rows(np.column_stack([index, joints.reshape(7, -1)]), "  ", "  \n"),
            "joints/joints_s04_e01.txt": "1 2 3\n",
            "joints/actionLabel_modified.txt": (
                "s03_e02\nwalk: 11 18\nsitDown: 30 32 \ncarry: NaN NaN\npush: 19 21\ns04_e01\nwalk: 1 2\n"
            ),
            "joints/actionLabel.txt": "not read",
        },
    )
    (walk, sit), left = read("utkinect", raw)
    assert (walk.clip.name, sit.clip.name) == ("s03_e02_walk", "s03_e02_sitDown")
    np.testing.assert_allclose(walk.clip.joints[0], joints[[2, 3, 4]], atol=1e-6)  # the last of a repeat
    np.testing.assert_allclose(sit.clip.joints[0], joints[[5, 6]], atol=1e-6)
    assert sit.columns == {"label": 1, "subject": 3, "replication": 2}
    reasons = {one.name: one.reason for one in left}
    assert "the list gives no range" in reasons["s03_e02_carry"]
    assert "from 19 to 21: expected a body, found none in 0 frames" in reasons["s03_e02_push"]
    assert "joints_s04_e01.txt:1: expected 61 numbers, found 3" in reasons["s04_e01"]
    (whole,) = catalogue.find("utkinect").untrimmed([raw])
    assert (whole.name, whole.columns) == ("s03_e02", {"subject": 3, "replication": 2})
    assert whole.actions == [Action(1, 4, 0), Action(4, 6, 1)]
    np.testing.assert_allclose(whole.joints[:, 0], joints[[0, 2, 3, 4, 5, 6]], atol=1e-6)
    packed = {
        f"joints/{file.name}": b"torn" if "e02" in file.name else file.read_bytes()
        for file in (raw / "joints").iterdir()
    }
    for name in ("a copy.zip", "z copy.zip"):  # the list again, and a recording that is damaged there
        make_zip(raw / name, packed)
    assert len(read("utkinect", raw)[0]) == 2
    (again,) = catalogue.find("utkinect").untrimmed([raw])
    np.testing.assert_array_equal(again.joints, whole.joints)
    (tmp_path / "twice").mkdir()
    for name in ("a", "b"):
        shutil.copytree(raw / "joints", tmp_path / "twice" / name)
        (raw / f"{name} copy.zip").unlink(missing_ok=True)
    (raw / "z copy.zip").unlink()
    assert len(catalogue.find("utkinect").untrimmed([tmp_path / "twice"])) == 1
    (raw / "joints" / "actionLabel_modified.txt").write_text("s03_e02\nfly: 1 2\n")
    with pytest.raises(ValueError, match=r"modified\.txt:2: expected a recording or 'action: first last'"):
        read("utkinect", raw)
    with pytest.raises(ValueError, match=r"expected one actionLabel_modified\.txt, or equal"):
        read("utkinect", raw, write(tmp_path / "more", {"actionLabel_modified.txt": ""}))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("sbu", {"s01s02/01/001/skeleton_pos.txt": ""}),
        ("msr-action3d", {"a01_s01_e01_skeleton3D.txt": ""}),
        ("utkinect", {"joints_s01_e01.txt": "", "actionLabel_modified.txt": ""}),
        ("nw-ucla", {"a01_s01_e01_v01.json": ""}),
        ("utd-mhad", {"a1_s1_t1_skeleton.mat": ""}),
    ],
)
def test_a_damaged_archive_beside_recordings_is_left_out(
    name: str, files: dict[str, str], tmp_path: Path
) -> None:
    left = read(name, write(tmp_path, {**files, "a.zip": "torn"}))[1]
    assert ["a.zip: expected a" in one.reason for one in left] == [True, False]


def test_florence3d(tmp_path: Path) -> None:
    def cell(shape: tuple[int, ...], subject: int, action: int) -> dict[str, object]:
        return {"original_skeletal_data": RNG.uniform(-1, 1, shape), "subject": subject, "action": action}

    cells = np.empty((4, 1), object)
    cells[:, 0] = [cell((3, 15, 6), 4, 9), cell((3, 14, 6), 4, 9), cell((3, 15, 6), 11, 1), {"subject": 1}]
    savemat(tmp_path / "skeletal_data.mat", {"skeletal_data": cells})
    (sample,), left = read("florence3d", tmp_path)
    found = sample.clip.joints[0]
    stored = cells[0, 0]["original_skeletal_data"]
    np.testing.assert_allclose(
        found[5, 2], stored[[0, 2, 1], 2, 5], atol=1e-6
    )  # x, depth, up to x, up, depth
    assert (sample.clip.name, found.shape) == ("clip001", (6, 15, 3))
    assert sample.columns == {"label": 8, "subject": 4}
    for one, message in zip(
        left,
        [
            "expected joints (3, 15, T), found (3, 14, 6)",
            "expected subject 1 to 10",
            "expected original_skel",
        ],
        strict=True,
    ):
        assert message in one.reason


def test_florence3d_of_other_content(tmp_path: Path) -> None:
    (tmp_path / "skeletal_data.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(ValueError, match=r"skeletal_data\.mat: expected MATLAB's format"):
        read("florence3d", tmp_path)
    savemat(tmp_path / "skeletal_data.mat", {"other": 1})
    with pytest.raises(ValueError, match="expected a cell array 'skeletal_data', found none"):
        read("florence3d", tmp_path)


def test_nw_ucla(tmp_path: Path) -> None:
    joints = RNG.uniform(-1, 1, (6, 20, 3))
    text = json.dumps({"file_name": "a08_s02_e03_v01", "skeletons": joints.tolist(), "label": 7})
    raw = write(
        tmp_path,
        {
            "all/a08_s02_e03_v01.json": text,
            "all/a07_s02_e03_v01.json": text,
            "all/a08_s02_e03_v04.json": text,
            "all/a01_s01_e00_v01.json": text.replace("skeletons", "joints"),
            "all/a01_s01_e00_v02.json": json.dumps({"skeletons": joints[:, :19].tolist()}),
            "all/a01_s01_e00_v03.json": '{"skeletons": [\n[1, }',
            "all/a01_s01_e01_v01.json": json.dumps({"skeletons": [[[0, 0]], []]}),
            "all/a01_s01_e02_v01.json": f'{{"skeletons": [[[1{400 * "0"}]]]}}',
            "all/val_label.json": "not read",
        },
    )
    (sample,), left = read("nw-ucla", raw)
    np.testing.assert_allclose(sample.clip.joints[0], joints, atol=1e-6)
    assert sample.clip.name == "a08_s02_e03_v01"
    assert sample.columns == {"label": 6, "subject": 2, "camera": 1, "replication": 3}
    assert catalogue.find("nw-ucla").classes[6] == "donning"
    reasons = {one.name: one.reason for one in left}
    assert "expected action 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, subject 1" in reasons["a07_s02_e03_v01"]
    assert "camera 1 to 3, found a08_s02_e03_v04" in reasons["a08_s02_e03_v04"]
    assert "expected 'skeletons', a list of frames: 'skeletons'" in reasons["a01_s01_e00_v01"]
    assert "expected skeletons (T, 20, 3), found (6, 19, 3)" in reasons["a01_s01_e00_v02"]
    assert "a01_s01_e00_v03.json:2: column 5: Expecting value" in reasons["a01_s01_e00_v03"]
    assert "expected 'skeletons', a list of frames: setting an array" in reasons["a01_s01_e01_v01"]
    assert "expected 'skeletons', a list of frames: int too large" in reasons["a01_s01_e02_v01"]


def test_utd_mhad(tmp_path: Path) -> None:
    stored = RNG.uniform(-1, 1, (20, 3, 6))
    stored[0, 1] += 0.7  # the head
    savemat(tmp_path / "a27_s8_t4_skeleton.mat", {"d_skel": stored}, do_compression=True)
    savemat(tmp_path / "a28_s8_t4_skeleton.mat", {"d_skel": stored})
    savemat(tmp_path / "a1_s1_t1_skeleton.mat", {"d_skel": stored[:19]})
    savemat(tmp_path / "a1_s1_t2_skeleton.mat", {"d_iner": stored})
    (tmp_path / "a1_s1_t3_skeleton.mat").write_bytes(b"torn")
    (sample,), left = read("utd-mhad", tmp_path)
    names = layout.load("kinect20").joints
    found = dict(zip(names, sample.clip.joints[0].transpose(1, 2, 0), strict=True))
    for name, theirs in (("head", 0), ("shoulder centre", 1), ("spine", 2), ("hip centre", 3)):
        np.testing.assert_allclose(found[name], stored[theirs], atol=1e-6)
    np.testing.assert_allclose(found["right foot"], stored[19], atol=1e-6)
    assert sample.columns == {"label": 26, "subject": 8, "replication": 4}
    reasons = {one.name: one.reason for one in left}
    assert "expected action 1 to 27 and subject 1 to 8" in reasons["a28_s8_t4"]
    assert "expected d_skel (20, 3, T), found (19, 3, 6)" in reasons["a1_s1_t1"]
    assert "expected d_skel (20, 3, T), found none" in reasons["a1_s1_t2"]
    assert "a1_s1_t3_skeleton.mat: expected MATLAB's format" in reasons["a1_s1_t3"]


def test_a_prepared_set_has_the_data_set_s_columns_and_protocols(tmp_path: Path) -> None:
    table = np.column_stack([RNG.uniform(-1, 1, (40, 3)), np.ones(40)])
    files = {
        f"a{action:02}_s{subject:02}_e01_skeleton3D.txt": rows(table + 0.1 * subject)
        for action in (1, 6)
        for subject in range(1, 5)
    }
    raw = write(tmp_path / "raw", files)
    write(raw / "again", {next(iter(files)): rows(table)})
    write(raw / "0", {next(iter(files)): "damaged"})  # found first, and hides no good one
    summary = preprocess.preprocess(catalogue.find("msr-action3d"), [raw], tmp_path / "set")
    assert (summary.clips, summary.skipped, summary.whole) == (8, 2, False)
    assert summary.counts == {"xsub": (4, 4), "as1": (2, 2), "as2": (2, 2), "as3": (2, 2)}
    prepared = archive.read(tmp_path / "set")
    assert [*prepared.index.columns][4:] == ["label", "subject", "replication"]
    damaged, again = pd.read_csv(tmp_path / "set" / "skipped.csv")["reason"]
    assert "expected 4 numbers, found 1" in damaged
    assert "expected each clip once, found it again" in again
    assert prepared.clip(0).joints.shape == (1, 2, 20, 3)
    assert not prepared.clip(0).joints[0, 0, 3].any()  # the spine is the origin
    split = splits.split(prepared, "as1", validation="clips")
    assert sorted(prepared.column("label")[np.concatenate([split.train, split.validation])]) == [5, 5]
    assert len(split.test) == 2
    with pytest.raises(ValueError, match="expected a column 'camera', found"):
        prepared.column("camera")


CLIPS = {
    "sbu": 282,
    "msr-action3d": 557,
    "utkinect": 199,
    "florence3d": 215,
    "nw-ucla": 1484,
    "utd-mhad": 861,
}
FRAMES = {  # in which the first body is seen
    "sbu": 13_644,
    "msr-action3d": 21_825,
    "utkinect": 5_829,
    "florence3d": 4_016,
    "nw-ucla": 58_534,
    "utd-mhad": 58_299,
}


@pytest.mark.parametrize("name", CLIPS)
def test_the_archives_give_every_clip(name: str, tmp_path: Path) -> None:
    if not DATA or not (Path(DATA) / f"{name}.zip").exists():
        pytest.skip(f"no {name}.zip in a folder that ACTION_INDRNN_DATA names")
    data_set = catalogue.find(name)
    summary = preprocess.preprocess(data_set, [Path(DATA) / f"{name}.zip"], tmp_path / "set")
    assert summary.whole
    assert summary.clips == CLIPS[name]
    assert summary.skipped == {"msr-action3d": 10, "utkinect": 1}.get(name, 0)
    assert summary.counts == data_set.counts
    prepared = archive.read(tmp_path / "set")
    rows_seen = prepared.joints[~np.isnan(prepared.joints[:, 0, 0])]
    assert len(rows_seen) == FRAMES[name]
    joints = layout.load(data_set.layout)
    left, right = np.array(joints.across).T
    facing = (rows_seen[:, left, 0] < rows_seen[:, right, 0]).mean()
    assert facing > (0.7 if name == "sbu" else 0.97)  # SBU's two people face each other
    if name == "florence3d":
        folds = protocols.expand(prepared.index, prepared.meta["protocols"], "subject=*")
        sizes = [int((protocols.roles(prepared.index, {}, fold) == protocols.TEST).sum()) for fold in folds]
        assert sizes == [29, 18, 21, 19, 20, 22, 19, 24, 20, 23]
