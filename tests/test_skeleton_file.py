import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from action_indrnn.data_prep import skeleton_file
from action_indrnn.data_prep.clip import ClipError

from .conftest import person, skeleton_text

NEAR = (72057594037944738, 72057594037944734)  # one number as float64


def text_of(frames: int = 3) -> bytes:
    return skeleton_text([[(NEAR[0], person())] for _ in range(frames)])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tracks_by_integer_id_on_true_frames(end: str) -> None:
    first, second = person(), person(x=1.0)
    frames = [[(NEAR[0], first)], [], [(NEAR[1], second), (NEAR[0], first + 0.5)], [(NEAR[1], second)]]
    recording = skeleton_file.parse(skeleton_text(frames, end), "folder/S001C001P001R001A001.skeleton")
    assert recording.name == "S001C001P001R001A001"
    assert recording.frame_count == 4
    assert list(recording) == list(NEAR)
    assert recording[NEAR[0]].frames.tolist() == [0, 2]
    assert recording[NEAR[1]].frames.tolist() == [2, 3]
    np.testing.assert_array_equal(recording[NEAR[0]].joints, np.float32([first, first + 0.5]))
    np.testing.assert_array_equal(recording[NEAR[1]].joints, np.float32([second, second]))
    assert recording[NEAR[0]].joints.dtype == np.float32


def test_tracking_states_are_kept() -> None:
    lines = text_of(1).split(b"\n")
    lines[4] = lines[4][:-1] + b"0"
    lines[6] = lines[6][:-1] + b"1"
    states = skeleton_file.parse(b"\n".join(lines), "a.skeleton")[NEAR[0]].states
    assert states[0, :4].tolist() == [0, 2, 1, 2]


def test_unusual_white_space_is_read() -> None:
    lines = text_of(1).split(b"\n")
    lines[5] = b"  " + lines[5].replace(b" ", b"  ") + b" "
    joints = skeleton_file.parse(b"\n".join(lines) + b"\n\n", "a.skeleton")[NEAR[0]].joints
    np.testing.assert_array_equal(joints[0], np.float32(person()))


def test_frames_without_bodies_only() -> None:
    recording = skeleton_file.parse(b"2\n0\n0\n", "a.skeleton")
    assert recording.frame_count == 2
    assert len(recording) == 0


# A text of three frames; joints of the second frame's body begin in line 33 (1-based).
DAMAGES = {
    "empty": (lambda lines: [b""], "a.skeleton:1: expected a frame count, found an empty file"),
    "binary": (lambda lines: [b"\x89PNG\r\n\x1a\n\x00\x00"], "a.skeleton:1: expected a frame count"),
    "no frames": (lambda lines: [b"0"], "a.skeleton:1: expected a frame count, found '0'"),
    "another format": (
        lambda lines: [b"1,0.5,0.2,0.3", b"2,0.1,0.2,0.2"],
        "a.skeleton:1: expected a frame count",
    ),
    "cut between joints": (lambda lines: lines[:40], "a.skeleton:40: expected 25 joints"),
    "cut between frames": (
        lambda lines: lines[:29],
        "a.skeleton:29: expected the body count of frame 2 of 3",
    ),
    "cut inside a joint": (lambda lines: [*lines[:84], lines[84][:30]], "a.skeleton:85: expected 12 fields"),
    "24 joints": (lambda lines: change(lines, 31, b"24"), "a.skeleton:32: expected 25 joints, found 24"),
    "a joint too few": (lambda lines: lines[:40] + lines[41:], "a.skeleton:57: expected 12 fields"),
    "too many bodies": (
        lambda lines: change(lines, 29, b"2"),
        "a.skeleton:58: expected the 10 fields of a body",
    ),
    "too few bodies": (
        lambda lines: change(lines, 29, b"0"),
        "a.skeleton:31: expected the body count of frame 3",
    ),
    "absurd body count": (
        lambda lines: change(lines, 29, b"99999999999"),
        "a.skeleton:58: expected the 10 fields",
    ),
    "negative body count": (lambda lines: change(lines, 29, b"-1"), "a.skeleton:30: expected the body count"),
    "too many frames": (
        lambda lines: change(lines, 0, b"4"),
        "a.skeleton:85: expected the body count of frame 4",
    ),
    "too few frames": (
        lambda lines: change(lines, 0, b"2"),
        "a.skeleton:58: expected the end of the file after 2",
    ),
    "NaN": (lambda lines: field(lines, 36, 1, b"nan"), "a.skeleton:37: expected a coordinate in metres"),
    "infinity": (
        lambda lines: field(lines, 36, 2, b"-inf"),
        "a.skeleton:37: expected a coordinate in metres",
    ),
    "old runtime's NaN": (
        lambda lines: field(lines, 36, 0, b"-1.#IND"),
        "a.skeleton:37: expected a coordinate",
    ),
    "millimetres": (
        lambda lines: field(lines, 36, 2, b"3000.0"),
        "a.skeleton:37: expected a coordinate in metres",
    ),
    "overflow": (
        lambda lines: field(lines, 36, 2, b"1e39"),
        "a.skeleton:37: expected a coordinate in metres",
    ),
    "endless number": (
        lambda lines: change(lines, 29, b"7" * 5000),
        "a.skeleton:30: expected the body count",
    ),
    "endless frames": (
        lambda lines: change(lines, 0, b"100001"),
        "a.skeleton:1: expected a frame count up to",
    ),
    "underscore": (lambda lines: field(lines, 36, 0, b"1_0"), "a.skeleton:37: expected numbers"),
    "NUL": (lambda lines: field(lines, 36, 0, b"\0"), "a.skeleton:37: expected a coordinate in metres"),
    "comma": (lambda lines: field(lines, 36, 0, b"0,5"), "a.skeleton:37: expected a coordinate in metres"),
    "state": (lambda lines: field(lines, 36, 11, b"3"), "a.skeleton:37: expected a tracking state"),
    "long state": (lambda lines: field(lines, 36, 11, b"12"), "a.skeleton:37: expected a tracking state"),
    "11 fields": (
        lambda lines: change(lines, 36, b" ".join(lines[36].split()[:11])),
        "a.skeleton:37: expected 12",
    ),
    "13 fields": (lambda lines: change(lines, 36, lines[36] + b" 2"), "a.skeleton:37: expected 12 fields"),
    "3 fields": (lambda lines: change(lines, 36, b"0.1 0.2 0.3"), "a.skeleton:37: expected 12 fields"),
    "empty line": (lambda lines: change(lines, 36, b""), "a.skeleton:37: expected 12 fields"),
    "float id": (
        lambda lines: field(lines, 30, 0, b"7.2e16"),
        "a.skeleton:31: expected a body id, found '7.2e16'",
    ),
    "id twice": (
        lambda lines: [b"1", b"2", *lines[2:29], *lines[2:29]],
        "a.skeleton:30: expected each body id once in frame 1",
    ),
}


def change(lines: list[bytes], number: int, to: bytes) -> list[bytes]:
    return [*lines[:number], to, *lines[number + 1 :]]


def field(lines: list[bytes], number: int, place: int, to: bytes) -> list[bytes]:
    fields = lines[number].split()
    fields[place] = to
    return change(lines, number, b" ".join(fields))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_damage_is_refused_with_file_and_line(damage: str, end: bytes) -> None:
    harm, message = DAMAGES[damage]
    lines = harm(text_of().rstrip().split(b"\n"))
    with pytest.raises(ClipError) as error:
        skeleton_file.parse(end.join(lines) + end, "a.skeleton")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_read_names_the_path(tmp_path) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_bytes(text_of())
    assert skeleton_file.read(path).source == str(path)
    path.write_bytes(text_of()[:900])
    with pytest.raises(ClipError, match=rf"^{path}:\d+: expected "):
        skeleton_file.read(path)


bodies = st.lists(
    st.tuples(st.integers(2**56, 2**56 + 40), st.floats(-9, 9), st.floats(-2, 2), st.floats(0.5, 8)),
    max_size=4,
    unique_by=lambda body: body[0],
)


@settings(max_examples=40, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_round_trip(frames, end) -> None:
    frames = [[(body_id, person(x, y, z)) for body_id, x, y, z in bodies] for bodies in frames]
    recording = skeleton_file.parse(skeleton_text(frames, end), "a.skeleton")
    assert recording.frame_count == len(frames)
    found = {
        (int(frame), body_id): joints
        for body_id, track in recording.items()
        for frame, joints in zip(track.frames, track.joints, strict=True)
    }
    expected = {(frame, body_id): joints for frame, bodies in enumerate(frames) for body_id, joints in bodies}
    assert found.keys() == expected.keys()
    for key, joints in expected.items():
        np.testing.assert_array_equal(found[key], joints.astype(np.float32))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_give_a_clip_or_a_clip_error(data) -> None:
    text = bytearray(text_of(2))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        recording = skeleton_file.parse(bytes(text), "a.skeleton")
    except ClipError as error:
        assert str(error).startswith("a.skeleton:")
    else:
        assert all(np.isfinite(track.joints).all() for track in recording.values())
