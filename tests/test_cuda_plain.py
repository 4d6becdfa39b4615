"""The benchmark's baseline kernel, run as C++ on a CPU, against the reference."""

import ctypes
import subprocess

import pytest
import torch
from torch import Tensor

from action_indrnn.kernels import cuda_plain, reference
from action_indrnn.kernels.cuda_source import PLAIN

from .test_cuda_bodies import COMPILER, SHIM

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on PATH to compile the kernel with")

PROGRAM = """
#include "{shim}"
inline shim_index blockDim{{{threads}, 1, 1}};
#define __restrict__
using std::fmaxf;
#include "{source}"
typedef const float* in;
template <class Call> void grid(long long columns, Call call) {{
    for (long long column = 0; column < columns + 5; ++column) {{
        blockIdx.x = column / blockDim.x, threadIdx.x = column % blockDim.x;
        call();
    }}
}}
extern "C" void run_plain_forward(in x, in u, in h0, float* h, long long T, long long columns, long long H) {{
    grid(columns, [&] {{ plain_forward(x, u, h0, h, T, columns, H); }});
}}
extern "C" void run_plain_backward(in g, in h, in u, in h0, float* dx, float* du, float* dh0, long long T,
                                   long long columns, long long H) {{
    grid(columns, [&] {{ plain_backward(g, h, u, h0, dx, du, dh0, T, columns, H); }});
}}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("plain")
    code, target = folder / "plain.cpp", folder / "plain.so"
    shim = SHIM.with_suffix(".h")
    code.write_text(PROGRAM.format(shim=shim, source=PLAIN, threads=8))
    command = [str(COMPILER), "-std=c++17", "-O1", "-shared", "-fPIC", "-o", str(target), str(code)]
    subprocess.run(command, check=True, timeout=120)
    return ctypes.CDLL(str(target))


@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 3, 5), (7, 2, 33)])
def test_it_is_the_reference(
    monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL, shape: tuple[int, int, int]
) -> None:
    def launch(kernel: str, tensors: tuple[Tensor, ...], like: Tensor) -> None:
        steps, batch, units = like.shape
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        numbers = [ctypes.c_longlong(number) for number in (steps, batch * units, units)]
        getattr(library, f"run_{kernel}")(*pointers, *numbers)

    monkeypatch.setattr(cuda_plain, "launch", launch)
    torch.manual_seed(0)
    x, grad, h0, u = torch.randn(shape), torch.randn(shape), torch.randn(shape[1:]), torch.randn(shape[2])
    wanted = reference.forward(x, u, h0, "relu")
    torch.testing.assert_close(cuda_plain.forward(x, u, h0, "relu"), wanted)
    found = cuda_plain.backward(grad, wanted, u, h0, "relu")
    torch.testing.assert_close(found, reference.backward(grad, wanted, u, h0, "relu"))


@pytest.mark.parametrize("how", [{"activation": "tanh"}, {"reverse": True}, {"lengths": torch.ones(1)}])
def test_what_it_does_not_know_is_refused(how: dict[str, object]) -> None:
    x = torch.zeros(2, 1, 3)
    with pytest.raises(ValueError, match="the plain kernel knows contiguous float32, relu"):
        cuda_plain.forward(x, x[0, 0], x[0], **{"activation": "relu", **how})
    with pytest.raises(ValueError, match="contiguous"):
        cuda_plain.forward(x.double(), x[0, 0], x[0], "relu")
