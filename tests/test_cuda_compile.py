"""Every CUDA kernel through NVIDIA's run-time compiler: needs no device, driver or CuPy."""

import ctypes
import importlib.util
import re
from pathlib import Path

import pytest
import torch

from action_indrnn.kernels import cuda_source

SHARED_LIMIT = 48 * 1024  # bytes a block may have without asking


def runtime_compiler() -> ctypes.CDLL | None:
    """libnvrtc of the wheel nvidia-cuda-nvrtc, whichever major version is installed."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root).glob("*/lib/libnvrtc.so.*")):
            for needed in path.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(needed))  # not every release finds it beside itself
            return ctypes.CDLL(str(path))
    return None


NVRTC = runtime_compiler()
pytestmark = pytest.mark.skipif(
    NVRTC is None, reason="no NVRTC to compile with: pip install nvidia-cuda-nvrtc"
)


def compiled(text: str, architecture: str, options: tuple[str, ...]) -> tuple[int, str]:
    """Compiles to machine code; the status, 0 if all went well, and the compilers' log."""
    assert NVRTC is not None
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert NVRTC.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"cuda.cu", 0, None, None) == 0
    flags = [flag.encode() for flag in (f"--gpu-architecture={architecture}", *options, "--ptxas-options=-v")]
    status = NVRTC.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    assert NVRTC.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert NVRTC.nvrtcGetProgramLog(program, log) == 0
    assert NVRTC.nvrtcDestroyProgram(ctypes.byref(program)) == 0
    return status, log.value.decode()


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("dtype", list(cuda_source.STORAGE))
@pytest.mark.parametrize("activation", list(cuda_source.ACTIVATION))
def test_every_kernel_compiles_and_keeps_all_in_registers(
    architecture: str, dtype: torch.dtype, activation: str
) -> None:
    status, log = compiled(cuda_source.source(), architecture, cuda_source.options(dtype, activation))
    assert status == 0, log
    assert not re.search(r"warning|error|remark", log, re.I), log
    reports = re.findall(
        r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        r".*?Used (\d+) registers([^\n]*)",
        log,
        re.S,
    )
    assert {name for name, *_ in reports} == set(cuda_source.kernels(activation)), log
    for name, stack, stores, loads, registers, rest in reports:
        assert (int(stack), int(stores), int(loads)) == (0, 0, 0), f"{name} does not fit its registers"
        assert int(registers) <= 128, name
        shared = re.search(r"(\d+) bytes smem", rest)
        assert name.startswith("ring") == (shared is not None)
        assert shared is None or int(shared[1]) <= SHARED_LIMIT


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_the_baseline_compiles(architecture: str) -> None:
    status, log = compiled(cuda_source.PLAIN.read_text(), architecture, ("--std=c++17",))
    assert status == 0, log
    assert not re.search(r"warning|error|remark", log, re.I), log
    assert log.count(" 0 bytes spill stores") == 2
