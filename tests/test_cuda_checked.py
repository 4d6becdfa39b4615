"""The front door's CUDA kernels; their bodies run here on a CPU, launched by a stand-in for CuPy."""

import pytest
import torch

from action_indrnn.kernels import CUDA_KERNELS, backend, cuda, cuda_checked, indrnn

from .test_cuda_bodies import ACTIVATIONS, COMPILER, DTYPES, launched, library, poisoned

__all__ = ["launched", "library", "poisoned"]  # fixtures
compiled = pytest.mark.skipif(COMPILER is None, reason="no g++ on PATH to compile the kernel bodies with")
CPU = torch.device("cpu")


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch):
    """The proof, made anew at every call."""
    monkeypatch.setattr(cuda_checked, "prove", cuda_checked.prove.__wrapped__)
    return cuda_checked.prove


@compiled
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_right_kernels_pass(prove, launched: list[str], dtype: torch.dtype, activation: str) -> None:
    prove(dtype, activation, CPU)
    kinds = {name.split("_")[0] for name in launched}
    assert kinds == ({"column", "ring"} if activation == "tanh" else {"column", "ring", "summary", "chain"})


@compiled
@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(
    ("kernel", "what"),
    [("column_forward", "column.*: h"), ("ring_backward", "ring.*: dx"), ("chain_forward", "scan.*: h")],
)
def test_a_wrong_kernel_is_refused(monkeypatch: pytest.MonkeyPatch, prove, kernel: str, what: str) -> None:
    whole = cuda.launch

    def without(launches, *rest) -> None:
        whole([one for one in launches if one.kernel != kernel], *rest)

    monkeypatch.setattr(cuda, "launch", without)
    with pytest.raises(RuntimeError, match=rf"the CUDA kernel {what} differs .* ACTION_INDRNN_BACKEND"):
        prove(torch.float32, "relu", CPU)


@pytest.mark.parametrize("name", CUDA_KERNELS)
def test_a_tensor_on_a_cpu_is_not_for_them(name: str) -> None:
    with pytest.raises(
        ValueError, match="backend cuda: expected a tensor on a CUDA device, found one on cpu"
    ):
        indrnn(torch.zeros(3, 1, 2), torch.zeros(2), backend=name)


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_missing", lambda: "there is none")
    x = torch.zeros(3, 1, 2, device="meta")
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True))
    with pytest.raises(ValueError, match="backend cuda: no CUDA kernel: there is none"):
        cuda_checked.Kernel().forward(x, x[0, 0], x[0], "relu")
    assert backend(x) == "reference: no CUDA kernel: there is none"
    monkeypatch.setattr(cuda, "_missing", lambda: None)
    monkeypatch.setattr(cuda, "reason", lambda: "compiled by a stand-in")
    assert backend(x) == "cuda: compiled by a stand-in"
    assert backend(x.double()).startswith("reference: there is no compiled kernel for torch.float64")
