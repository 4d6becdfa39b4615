import os
import pickle
import resource
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from action_indrnn.data_prep import safe_pickle
from action_indrnn.data_prep.clip import ClipError

ARRAYS = [
    np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([1, 2, 3], ">i4"),
    np.array(3.5, np.float32),
    np.zeros((0, 25, 3), np.float32),
    np.array([True, False]),
    np.arange(5000, dtype=np.float32),  # so large that it stays in the file
]
CONTENT = {
    "split": {"a": ["x", "y"]},
    "values": [1, -(2**70), 2.5, True, None, "text", b"bytes", (1, 2), np.int64(7), np.float32(0.5)],
}


def read(tmp_path: Path, content: bytes) -> Any:
    (tmp_path / "a.pkl").write_bytes(content)
    return safe_pickle.read(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_and_arrays_come_back(tmp_path: Path, protocol: int) -> None:
    found = read(tmp_path, pickle.dumps({**CONTENT, "arrays": ARRAYS}, protocol))
    assert found["split"] == CONTENT["split"]
    assert found["values"] == CONTENT["values"]
    for array, expected in zip(found["arrays"], ARRAYS, strict=True):
        np.testing.assert_array_equal(safe_pickle.array(array), expected)
        assert safe_pickle.array(array).dtype.kind == expected.dtype.kind
    assert safe_pickle.array("no array") is None


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


# Opcodes: ( MARK, c GLOBAL, t TUPLE, R REDUCE, b BUILD, . STOP, } EMPTY_DICT, r LONG_BINPUT
HOSTILE = {
    "system": pickle.dumps(Call(os.system, "touch /tmp/never")),
    "exec": pickle.dumps([Call(exec, "raise SystemExit")]),
    "getattr": pickle.dumps(Call(getattr, "text", "format")),
    "numpy's loader": pickle.dumps(Call(np.load, "x")),
    "objects in an array": pickle.dumps(np.array([{}, []], object)),
    "text in an array": pickle.dumps(np.array(["a"])),
    "a name of our own": b"caction_indrnn.data_prep.safe_pickle\n_scalar\n.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
    "state for a function": b"c_codecs\nencode\n}b.",
    "a class built anew": b"cnumpy\ndtype\n)\x81.",
    "an extension code": b"\x82\x01.",
    "a persistent name": b"Pabc\n.",
    "too few bytes for a shape": b"cnumpy\nndarray\n((L1000000000000L\ntX\x02\x00\x00\x00f4C\x04abcdtR.",
    "negative shape": b"cnumpy\nndarray\n((I-1\ntX\x02\x00\x00\x00f4C\x04abcdtR.",
    "a string of 2**60 bytes": b"\x8e" + struct.pack("<Q", 2**60) + b".",
    "a bytearray of 2**40 bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "a frame of 2**50 bytes": b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b".",
    "a text of 2**60 bytes": b"\x8d" + struct.pack("<Q", 2**60) + b".",
    "nothing": b"",
    "no pickle": b"no pickle",
    "deep": b"\x80\x04" + b"(" * 100 + b".",
}


def test_what_is_no_pickle_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="expected a pickle, found a zip archive: unpack it first"):
        read(tmp_path, b"PK\x03\x04 an archive")
    with pytest.raises(ClipError, match="arrays: found byte 0x50, with which no value begins"):
        read(tmp_path, b"P5 a picture")


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ClipError, match=r"a\.pkl: not a pickle of plain values and arrays"):
        read(tmp_path, content)
    assert not Path("/tmp/never").exists()


@pytest.mark.parametrize("content", [b"]" * 5_000_000, b"(" * 5_000_000, b"h\0h\0\x86" * 2_000_000])
def test_endless_small_values_are_refused(tmp_path: Path, content: bytes) -> None:
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ClipError, match=r"expected at most 2\d{6} steps and 100000 values that wait"):
        read(tmp_path, b"\x80\x02]q\0" + content + b".")
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_stay_in_the_file(tmp_path: Path, protocol: int) -> None:
    arrays = [np.full(10_000, number, np.float32) for number in range(50)]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays, protocol))
    tracemalloc.start()
    found = safe_pickle.read(tmp_path / "a.pkl")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000  # of 2,000,000
    assert all((safe_pickle.array(array) == number).all() for number, array in enumerate(found))
    os.truncate(tmp_path / "a.pkl", 1_000_000)
    with pytest.raises(ClipError, match=r"a\.pkl: expected 40000 bytes at \d+, found 0"):
        safe_pickle.array(found[-1])


def test_the_memo_takes_no_room_for_numbers_that_are_not_used(tmp_path: Path) -> None:
    assert read(tmp_path, b"}r\xff\xff\xff\x7f.") == {}  # the C unpickler would ask for 32 GB


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([2, 4, 5]))
def test_damage_gives_values_or_a_clip_error(tmp_path: Path, data: st.DataObject, protocol: int) -> None:
    content = bytearray(pickle.dumps({**CONTENT, "arrays": ARRAYS[:3]}, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(tmp_path, bytes(content))
    except ClipError as error:
        assert "a.pkl: not a pickle" in str(error)
