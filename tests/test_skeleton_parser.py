"""The compiled parser against the Python parser, which defines what is read."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from action_indrnn.data_prep import skeleton_file, skeleton_parser
from action_indrnn.data_prep.clip import ClipError

from .conftest import person, skeleton_text
from .test_skeleton_file import DAMAGES, field, text_of

compiled = pytest.mark.skipif(
    skeleton_parser.reason() != "compiled parser", reason=f"no library here: {skeleton_parser.reason()}"
)
# A line's first coordinate; each is read to the bits of Python's float(), or left to the Python parser.
NUMBERS = [
    *("0", "-0", "-0.0", "00.5", "1.", ".5", "-.5", "100", "-100", "99.99999999999999999999", "1e2", "1E-2"),
    *("1e+1", "0.1e+00001", "-9.313226e-10", "1e-22", "1e-23", "7.2057594037927933e-5", "1e-320", "0e5"),
    *("9007199254740993e-15", "2.2250738585072011e-308", "0.30000000000000004441", "123456789012345e-14"),
    *(
        "0." + "0" * 60 + "1",
        "0." + "3" * 120,
        "8388608.5e-7",
        "16777217e-6",
        "1.00000017881393432617187499e0",
    ),
]
DECLINED = [
    *("", "-", ".", "-.", "e5", "1e", "1e+", "1e-", "+1", "--1", "1e400", "1e-400", "1e99999999999999999999"),
    *(
        "nan",
        "inf",
        "-inf",
        "1_0",
        "0x1p3",
        "1,5",
        "100.00000000000001",
        "-101",
        "1e3",
        "1.2.3",
        "1e5.0",
        "1f",
    ),
]


def same(usual: skeleton_parser.Blocks | None, recording: skeleton_file.Recording) -> bool:
    """Whether the compiled parser read these bits."""
    assert usual is not None
    found = skeleton_file._recording(usual, recording.source)
    assert (list(found), found.frame_count) == (list(recording), recording.frame_count)
    return all(
        getattr(found[body], name).dtype == getattr(track, name).dtype
        and getattr(found[body], name).tobytes() == getattr(track, name).tobytes()
        for body, track in recording.items()
        for name in ("frames", "joints", "states")
    )


@compiled
def test_the_made_files_are_read_to_the_same_bits(made_raw: Path) -> None:
    for path in sorted(made_raw.iterdir())[::4]:
        data = path.read_bytes()
        assert same(skeleton_parser.parse(data), skeleton_file.parse_any(data, "a"))
        data = data.replace(b"\r\n", b"\n") + b"\n \t\n"
        assert same(skeleton_parser.parse(data), skeleton_file.parse_any(data, "a"))


@compiled
@pytest.mark.parametrize("number", NUMBERS)
def test_coordinates_are_rounded_as_python_rounds(number: str) -> None:
    data = b"\n".join(field(text_of(1).split(b"\n"), 7, 1, number.encode()))
    usual = skeleton_parser.parse(data)
    assert same(usual, skeleton_file.parse_any(data, "a"))
    assert usual.joints[0, 3, 1].tobytes() == np.float32(float(number)).tobytes()


@compiled
@pytest.mark.parametrize("number", DECLINED)
def test_what_is_no_plain_coordinate_is_left_to_the_python_parser(number: str) -> None:
    assert skeleton_parser.parse(b"\n".join(field(text_of(1).split(b"\n"), 7, 1, number.encode()))) is None


@compiled
@settings(max_examples=300, deadline=None)
@given(
    st.floats(-100, 100), st.sampled_from(["%r", "%.7g", "%.15g", "%.17g", "%.20f", "%.3e", "%.30e", "%f"])
)
def test_any_number_in_any_form(value: float, form: str) -> None:
    text = form % value
    data = b"\n".join(field(text_of(1).split(b"\n"), 4, 0, text.encode()))
    usual = skeleton_parser.parse(data)
    if usual is not None:
        assert struct.pack("<f", float(text)) == usual.joints[0, 0, 0].tobytes()
    else:
        assert abs(float(text)) > 100 or abs(float(text)) < 1e-300


@compiled
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_damage_is_declined(damage: str, end: bytes) -> None:
    lines = DAMAGES[damage][0](text_of().rstrip().split(b"\n"))
    assert skeleton_parser.parse(end.join(lines) + end) is None


@compiled
@pytest.mark.parametrize(
    ("frames", "bodies"), [([[]], 0), ([[]] * 3, 0), ([[(2**64 - 1, person())]], 0), ([[(7, person())]], 1)]
)
def test_few_bodies_and_large_ids(frames, bodies) -> None:
    usual = skeleton_parser.parse(skeleton_text(frames))
    if frames[0] and frames[0][0][0] > 2**63:
        assert usual is None  # 20 digits
    else:
        assert (usual.frame_count, len(usual.ids)) == (len(frames), bodies)


@compiled
def test_every_cut_is_declined_or_read_the_same() -> None:
    data = text_of(2)
    for end in range(len(data)):
        assert skeleton_parser.parse(data[:end]) is None
    assert skeleton_parser.parse(data) is not None


@compiled
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_bytes_never_part_the_two(data) -> None:
    text = bytearray(skeleton_text([[(5, person())], [(5, person()), (6, person(1.0))]]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        some = st.one_of(
            st.binary(max_size=3), st.text(" 0123456789.-+eE_\r\n\t", max_size=3).map(str.encode)
        )
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(some)
    usual = skeleton_parser.parse(bytes(text))
    if usual is not None:
        assert same(usual, skeleton_file.parse_any(bytes(text), "a"))


def test_without_the_library_the_python_parser_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, reason = skeleton_parser._load(tmp_path / "_skeleton.so")
    assert library is None
    assert reason.startswith("Python parser: the compiled one was not built")
    (tmp_path / "_skeleton.so").write_bytes(b"no library")
    assert "does not load" in skeleton_parser._load(tmp_path / "_skeleton.so")[1]
    monkeypatch.setattr(skeleton_parser, "_library", None)
    assert skeleton_file.parse(text_of(2), "a").frame_count == 2
    with pytest.raises(ClipError, match="a:1: expected a frame count"):
        skeleton_file.parse(b"x", "a")
