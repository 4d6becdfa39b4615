"""Float32 products by oneDNN where MKL takes half of a processor's width."""

from typing import Any

import pytest
import torch

from action_indrnn import products

AMD = "processor : 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f avx512bw avx512_bf16\n"


@pytest.mark.parametrize(
    ("processor", "halved"),
    [
        (AMD, True),
        (AMD + "\n" + AMD.replace("processor : 0", "processor : 1"), True),
        (AMD.replace("avx512f ", ""), False),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), False),
        (AMD.replace("avx512_bf16", "amx_bf16 amx_tile"), False),  # matrix units would round
        ("CPU implementer : 0x41\nFeatures : fp asimd bf16\n", False),
        ("", False),
    ],
)
def test_processors_that_mkl_takes_half_of(processor: str, halved: bool) -> None:
    assert products.is_halved(processor) == halved


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = products._setting()
    if found is None:
        pytest.skip("this torch cannot be asked for oneDNN")
    monkeypatch.setattr(products, "_has_help", lambda: True)
    return found


def test_the_setting_comes_back(setting: Any) -> None:
    before = setting.fp32_precision

    @products.full_width()
    def inside() -> str:
        return setting.fp32_precision

    assert inside() == "bf16"
    assert setting.fp32_precision == before
    with pytest.raises(KeyError), products.full_width():
        raise KeyError
    assert setting.fp32_precision == before


def test_a_chosen_precision_stays(setting: Any) -> None:
    before = setting.fp32_precision
    setting.fp32_precision = "tf32"
    try:
        with products.full_width():
            assert setting.fp32_precision == "tf32"
    finally:
        setting.fp32_precision = before


def test_products_are_those_of_float32() -> None:
    torch.manual_seed(0)
    for rows, inner, columns in products.SHAPES:
        a, b = torch.randn(rows, inner), torch.randn(columns, inner)
        grad = torch.randn(rows, columns)
        with products.full_width():
            found = (a @ b.t(), grad @ b, grad.t() @ a)
        wanted = (a.double() @ b.double().t(), grad.double() @ b.double(), grad.double().t() @ a.double())
        for one, other in zip(found, wanted, strict=True):
            assert (one - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.usefixtures("setting")
def test_a_loss_of_precision_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert products._is_exact(64, 64, 64)
    product = torch.Tensor.__matmul__

    def rounded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if a.dtype == torch.float32:
            a = a.bfloat16().float()
        return product(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not products._is_exact(64, 64, 64)
