from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_indrnn.layers import DropoutOverTime
from action_indrnn.models import build

from .test_models import CAUSAL, FEATURES, SMALL, WHOLE, trained


@pytest.mark.parametrize("kind", CAUSAL)
def test_the_state_s_order_is_the_layers_order(kind: str) -> None:
    model = build(CAUSAL[kind], FEATURES, 3)
    _, state = model(torch.randn(4, 2, FEATURES))
    assert [h.shape[1] for h in state] == [layer.units for layer in model.memories()]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CAUSAL)), st.integers(1, 14), st.data())
def test_a_stream_in_any_pieces_gives_the_whole_clip_s_logits(kind: str, steps: int, data) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, steps - 1)))) | {0, steps})
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = trained(kind, dtype)
        x = torch.randn(steps, 2, FEATURES, dtype=dtype)
        whole, final = model(x)
        state = None
        for start, end in pairwise(cuts):
            logits, state = model(x[start:end], state)
        torch.testing.assert_close(logits, whole, rtol=tolerance, atol=tolerance)
        for ours, theirs in zip(state, final, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", WHOLE)
def test_the_network_that_walks_back_is_the_other_on_a_clip_turned_round(kind: str) -> None:
    model = trained(f"bidirectional {kind}", torch.float64)
    assert not model.causal
    model.back.load_state_dict(model.ahead.state_dict())
    x = torch.randn(5, 2, FEATURES, dtype=torch.float64)
    width = model.classifier.in_features // 2
    torch.testing.assert_close(model.back(x)[0], model.ahead(x.flip(0))[0])
    torch.testing.assert_close(
        model(x)[0],
        model.ahead(x)[0] @ model.classifier.weight[:, :width].T
        + model.ahead(x.flip(0))[0] @ model.classifier.weight[:, width:].T
        + model.classifier.bias,
    )


@pytest.mark.parametrize("kind", ["plain", "residual", "dense", "convolutional", "lstm", "gru_mean"])
def test_pooling_reads_the_last_step_the_mean_over_steps_or_both(kind: str) -> None:
    x = torch.randn(5, 2, FEATURES)
    for pooling in ("last", "mean", "both"):
        torch.manual_seed(0)
        model = build(CAUSAL[kind].model_copy(update={"pooling": pooling}), FEATURES, 3).eval()
        model.classifier = torch.nn.Identity()
        differences = x if model.difference is None else model.difference(x)[0]
        y = model.body(differences, lambda module, x: module(x)[0])
        expected = {"last": y[-1], "mean": y.mean(dim=0), "both": torch.cat((y[-1], y.mean(dim=0)), dim=1)}
        torch.testing.assert_close(model(x)[0], expected[pooling])


@pytest.mark.parametrize("kind", ["plain", "residual", "dense", "convolutional", "lstm"])
def test_the_last_layer_drops_nothing_that_attention_drops(kind: str) -> None:
    def drops(pooling: str) -> list[float]:
        model = build(CAUSAL[kind].model_copy(update={"pooling": pooling}), FEATURES, 3)
        return [module.p for module in model.modules() if isinstance(module, DropoutOverTime)]

    # What is read is registered before the layers.
    assert drops("attention") == [drops("last")[-1], *drops("last")[:-1], 0.0]


def test_a_bidirectional_network_takes_no_state() -> None:
    model = build(WHOLE["plain"], 5, 3)
    _, state = model(torch.zeros(4, 2, 5))
    with pytest.raises(ValueError, match="a bidirectional network needs the whole clip at once"):
        model(torch.zeros(4, 2, 5), state)


def test_what_does_not_fit_is_named() -> None:
    model = build(SMALL["plain"], 5, 3)
    with pytest.raises(ValueError, match=r"expected input \(T, B, 5 features\), found \(4, 2, 6\)"):
        model(torch.zeros(4, 2, 6))
    _, state = model(torch.zeros(4, 2, 5))
    with pytest.raises(ValueError, match="expected a state of 3 tensors, found 2"):
        model(torch.zeros(1, 2, 5), state[:2])
    with pytest.raises(ValueError, match=r"state\[0\]: expected shape \(3, 7\), found \(2, 7\)"):
        model(torch.zeros(1, 3, 5), state)
