import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import clip_file, layout
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.sources import Source

from .conftest import person, skeleton_text

TRIO = layout.from_table(
    {
        "name": "trio",
        "joints": ["hip", "left hand", "right hand"],
        "centre": "hip",
        "bones": [["left hand", "hip"], ["right hand", "hip"]],
        "pairs": [["left hand", "right hand"]],
        "across": [["left hand", "right hand"]],
    },
    "trio.toml",
)
JOINTS = np.random.default_rng(0).uniform(-1, 1, (2, 4, 3, 3))  # (M, T, V, 3)
JOINTS[1, 0] = np.nan  # the second body comes a frame later


def frames(names: bool = True) -> list[dict]:
    return [
        {
            "t": at / 30,
            "bodies": [
                {"id": str(2**56 + body), "joints": JOINTS[body, at].tolist()}
                for body in range(2)
                if body == 0 or at > 0
            ],
        }
        for at in range(4)
    ]


def csv_text() -> str:
    rows = [
        f"{at + 7},{body},{joint},{','.join(f'{value!r}' for value in JOINTS[body, at, number].tolist())}"
        for at in range(4)
        for body in range(2)
        for number, joint in enumerate(TRIO.joints)
        if body == 0 or at > 0
    ]
    return "\n".join(["frame,body,joint,x,y,z", *rows]) + "\n"


def saved(save, *arrays, **named) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


BY_TIME = JOINTS.swapaxes(0, 1)  # (T, M, V, 3)
ASTRAY = JOINTS[0].copy()
ASTRAY[2, 2, 2], ASTRAY[3, 0, 0] = 8e31, -1e9
HALF_SEEN = JOINTS[0].copy()
HALF_SEEN[1, 0] = np.nan, np.inf, 0
FILES = {
    "a.npy": saved(np.save, BY_TIME),
    "a.npz": saved(np.savez_compressed, joints=BY_TIME[:, :, ::-1], names=np.array(TRIO.joints[::-1])),
    "a.csv": csv_text().encode(),
    "a.CSV": csv_text().replace("left hand", "LeftHand").replace("\n", "\r\n").encode(),
    "a.json": json.dumps({"joints": TRIO.joints, "frames": frames()}).encode(),
    "b.json": json.dumps(frames()).encode(),
    "a.jsonl": "\n".join(map(json.dumps, frames())).encode(),
    "b.jsonl": "\n".join(map(json.dumps, [{"joints": TRIO.joints}, *frames()])).encode(),
}


def read(folder: Path, name: str, content: bytes | str, wanted: Layout = TRIO, **more) -> Clip:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return clip_file.read(Source(path), wanted, **more)[0]


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_clip(tmp_path: Path, name: str) -> None:
    clip = read(tmp_path, name, FILES[name])
    assert clip.name == name[0]
    assert clip.present.tolist() == [[True] * 4, [False, True, True, True]]
    np.testing.assert_allclose(clip.joints, np.nan_to_num(JOINTS), atol=1e-6)


def test_one_body_needs_no_body_axis(tmp_path: Path) -> None:
    expected = JOINTS[0].astype(np.float32)
    alone = "\n".join(json.dumps({"joints": frame.tolist()}) for frame in JOINTS[0])
    for name, content in (("a.npy", saved(np.save, JOINTS[0])), ("a.jsonl", alone)):
        np.testing.assert_array_equal(read(tmp_path, name, content).joints[0], expected)


def test_a_skeleton_file_keeps_its_road(tmp_path: Path) -> None:
    text = skeleton_text([[(72057594037944738, person())]] * 3)
    clip = read(tmp_path, "a.skeleton", text, layout.load("ntu25"))
    assert clip.name == "a"
    np.testing.assert_allclose(clip.joints[0, 0], person(), atol=1e-6)
    with pytest.raises(ClipError, match="expected the 3 joints of trio, found 25; missing: hip"):
        read(tmp_path, "a.skeleton", text)


def changed(name: str, old: str, new: str) -> bytes:
    text = FILES[name].decode()
    assert old in text
    return text.replace(old, new, 1).encode()


NO_NAMES = r"expected the 3 joints of trio \(hip, .*found 17 .*h36m17, COCO"
BAD = [
    ("a.csv", changed("a.csv", "x,y,z", "x,y,w"), r"a\.csv:1: expected columns x, y, z, found no z: 2D"),
    ("a.csv", changed("a.csv", "joint", "part"), r"a\.csv:1: expected columns .* found no joint"),
    ("a.csv", changed("a.csv", "7,0,left", "7,0,1,left"), r"a\.csv:3: expected 6 fields, found 7"),
    ("a.csv", changed("a.csv", "7,0,left", "-7,0,left"), r"a\.csv:3: frame: expected a whole number"),
    ("a.csv", changed("a.csv", "7,0,left hand", "7,0,hip"), r"a\.csv:3: joint: expected each once .* 'hip'"),
    ("a.csv", "frame,joint,x,y,z\n1,hip,0,0,one\n", r"a\.csv:2: z: expected a number, found 'one'"),
    ("a.csv", "frame,joint,x,y,z\n1,1,0,0,1\n1,2,0,0,1\n1,3,0,0,1", r"joints numbered 0 to 2, found 1 to 3"),
    ("a.csv", changed("a.csv", "7,0,hip", "900000000000,0,hip"), r"expected at most \d+ joints in a clip"),
    ("a.csv", csv_text().replace("right hand", "nose"), "missing: right hand; too many: nose"),
    ("a.csv", b"\xff", r"a\.csv: expected text in UTF-8, found byte 0"),
    ("a.json", b'[{"bodies": [\n}', r"a\.json:2: column 1: "),
    ("a.json", b"[" * 100_000, r"a\.json:1: expected JSON"),
    ("a.json", b'{"frames": 3}', r"a\.json: expected a list of frames"),
    ("a.json", b'[{"bodies": [{"joints": [[1, 2]]}]}]', r"frame 0: bodies.0.: joints.0.: .* 2D key"),
    ("a.json", b'[{"bodies": [{"joints": [[1, 2, "x"]]}]}]', r"joints\[0\]: expected a number, found 'x'"),
    ("a.json", b'[{"bodies": []}]', "expected a body, found none in 1 frames"),
    ("a.jsonl", FILES["a.jsonl"] + b"\n{", r"a\.jsonl:5: column 2"),
    ("a.jsonl", changed("b.jsonl", '"right hand"', '"r", "s"'), r"jsonl:2: bodies.0.: joints: expected a"),
    ("a.jsonl", b"", r"a\.jsonl:1: expected a frame, found nothing"),
    ("a.npy", FILES["a.npy"][:-1], r"a\.npy: expected \d+ bytes for float64 of \(4, 2, 3, 3\), found"),
    ("a.npy", saved(np.save, JOINTS[0, ..., :2]), r"expected joints in 3D, found \(4, 3, 2\): 2D key points"),
    ("a.npy", saved(np.save, np.array([{}])), "expected numbers or texts, found object"),
    ("a.npy", saved(np.save, np.ones((1, 20, 3, 3))), "with at most 10 bodies M"),
    ("a.npy", saved(np.save, np.ones((4, 17, 3))), NO_NAMES),
    ("a.npy", saved(np.save, np.full((4, 3, 3), np.inf)), r"or NaN where it was not seen, found x = inf"),
    ("a.npy", saved(np.save, HALF_SEEN), r"frame 2 of 4, body 1, hip: .*, found y = inf m"),
    ("a.npy", saved(np.save, ASTRAY), r"frame 3 of 4, body 1, right hand: .*z = 8e\+31 m \(.* such: 2\)"),
    ("a.npy", saved(np.save, np.zeros((4, 3, 3))), "expected a body, found none in 4 frames"),
    ("a.npy", saved(np.save, JOINTS[0] * [1, 1, 0]), "found the same z everywhere: 2D key points"),
    ("a.npy", saved(np.save, JOINTS[0] * 1000), r"hip: expected metres within \+-100, .* such: 4\)"),
    ("a.npz", saved(np.savez, x=BY_TIME), "expected an array 'joints', found x"),
    ("a.npz", saved(np.savez, joints=BY_TIME, names=np.array(["hip"])), "names: expected 3 texts"),
    ("a.npz", b"PK", "expected an .npz archive"),
    ("a.npz", saved(np.savez_compressed, joints=np.zeros((100_000, 3, 3))), "times the packed size"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[message[:40] for *_, message in BAD])
def test_damage_is_named_with_its_place(
    tmp_path: Path, name: str, content: bytes | str, message: str
) -> None:
    with pytest.raises(ClipError, match=message) as raised:
        read(tmp_path, name, content)
    assert str(tmp_path / name) in str(raised.value)


def test_a_head_that_promises_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    huge = FILES["a.npy"].replace(b"(4, 2, 3, 3), }" + b" " * 12, b"(4000000000000, 2, 3, 3), }")
    assert huge != FILES["a.npy"]
    with pytest.raises(ClipError, match="expected 576000000000000 bytes"):
        read(tmp_path, "a.npy", huge)


@pytest.mark.parametrize("name", FILES)
def test_any_damage_is_a_clip_error(tmp_path: Path, name: str) -> None:
    random, refused = np.random.default_rng(0), 0
    for _ in range(60):
        content = bytearray(FILES[name])
        at = int(random.integers(len(content)))
        content[at : at + int(random.integers(9))] = random.bytes(int(random.integers(9)))
        try:
            read(tmp_path, name, bytes(content))
        except ClipError:
            refused += 1
    assert refused


def test_the_list_of_a_folder_is_no_clip() -> None:
    wanted = clip_file.WANTED
    assert [bool(re.fullmatch(wanted, name)) for name in ("a/b.csv", "a/clips.csv", "B.BVH", "a.txt")] == [
        True, False, True, False,
    ]  # fmt: skip
