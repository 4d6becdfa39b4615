"""The reader of MATLAB's files against scipy's writer, and on damaged files."""

import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from action_indrnn.data_prep import matlab
from action_indrnn.data_prep.clip import ClipError


def saved(compress: bool = False, **variables: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=compress)
    return buffer.getvalue()


def cells(*values: Any) -> np.ndarray:
    made = np.empty((len(values), 1), object)
    made[:, 0] = values
    return made


CUBE = np.arange(24.0).reshape(2, 3, 4)
CONTENT = {"a": CUBE, "c": cells({"x": CUBE, "n": np.uint8(7)}, {"x": CUBE + 1, "n": np.uint8(8)})}


@pytest.mark.parametrize("compress", [False, True])
def test_what_scipy_writes(compress: bool) -> None:
    found = matlab.read(saved(compress, **CONTENT, word="text", i=np.int16([[1, -2]])), "a.mat")
    np.testing.assert_array_equal(found["a"], CUBE)
    assert found["i"].tolist() == [[1, -2]]
    assert found["word"] is None
    for number, (cell,) in enumerate(found["c"]):
        np.testing.assert_array_equal(cell["x"], CUBE + number)
        assert cell["n"].item() == 7 + number


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_of_number(dtype: str) -> None:
    numbers = np.array([[0, 1, 100], [3, 2, 127]], dtype)
    np.testing.assert_array_equal(matlab.read(saved(n=numbers), "a.mat")["n"], numbers)


@pytest.mark.parametrize("data", [b"", bytes(200), b"PK\3\4" * 50, b"x" * 127])
def test_other_formats_are_named(data: bytes) -> None:
    with pytest.raises(ClipError, match=r"a\.mat: expected MATLAB's format, version 5"):
        matlab.read(data, "a.mat")


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "_LARGEST", 1000)
    content = zlib.compress(bytes(5000))
    bomb = saved()[:128] + np.array([15, len(content)], "<u4").tobytes() + content
    with pytest.raises(ClipError, match="expected at most 1000 bytes in an element, found more"):
        matlab.read(bomb, "a.mat")


@settings(max_examples=300, deadline=None)
@given(st.data(), st.booleans())
def test_damage_gives_values_or_a_clip_error(data: st.DataObject, compress: bool) -> None:
    content = bytearray(saved(compress, **CONTENT))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(120, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(130, len(content)))] if data.draw(st.booleans()) else content
    try:
        matlab.read(bytes(content), "a.mat")
    except ClipError as error:
        assert str(error).startswith("a.mat: ")
