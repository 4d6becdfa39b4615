from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_indrnn.layers import DropoutOverTime
from action_indrnn.models import build
from action_indrnn.pooling import Attention, RunningMean

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


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_attention_by_hand(gaps: bool, reverse: bool) -> None:
    torch.manual_seed(0)
    made = Attention(5, 0.0, "step", gaps=gaps).double().eval()
    made.reverse = reverse
    torch.nn.init.normal_(made.score.weight)
    x = torch.randn(6, 2, 5, dtype=torch.float64)
    counts = torch.ones(6, 2, 1, dtype=torch.float64)
    if gaps:
        counts[[0, 3, 5], 0] = 0  # of the first clip
    found = made(torch.cat((x, counts), dim=2) if gaps else x)[0]
    for clip in range(2):
        own = x[counts[:, clip, 0] > 0, clip]
        weight = made.score(own).exp()[:, [0, 0, 1, 2, 3]]  # five numbers among four heads
        weighted = (weight * own).sum(dim=0) / weight.sum(dim=0)
        expected = torch.cat((own[0 if reverse else -1], own.mean(dim=0), weighted))
        torch.testing.assert_close(found[clip], expected)


def test_attention_starts_as_the_mean() -> None:
    x = torch.randn(6, 2, 5)
    _, mean, weighted = Attention(5, 0.0, "step")(x)[0].chunk(3, dim=1)
    torch.testing.assert_close(weighted, mean)


def test_attention_to_nobody_is_0_and_leaves_what_was() -> None:
    made = Attention(3, 0.0, "step", gaps=True).eval()
    nobody = torch.cat((torch.randn(4, 2, 3), torch.zeros(4, 2, 1)), dim=2)
    read, state = made(nobody)
    assert not read.any()
    assert not state.any()
    somebody = torch.cat((torch.randn(4, 2, 3), torch.ones(4, 2, 1)), dim=2)
    torch.testing.assert_close(made(somebody, state)[0], made(somebody)[0])
    torch.testing.assert_close(made(nobody, made(somebody)[1])[0], made(somebody)[0])


def test_dropout_changes_what_is_read_and_no_weight() -> None:
    torch.manual_seed(0)
    made = Attention(64, 0.5, "step").train()
    torch.nn.init.normal_(made.score.weight, std=0.05)
    x = torch.randn(9, 2, 64)
    read, state = made(x)
    torch.testing.assert_close(state[:, 128:132], made.score(x).exp().sum(dim=0))
    assert (read[:, :64] == 0).float().mean().item() == pytest.approx(0.5, abs=0.2)
    assert not torch.equal(read[:, 64:128], x.mean(dim=0))


@pytest.mark.parametrize("kind", ["plain", "residual", "dense", "convolutional", "lstm"])
def test_the_last_layer_drops_nothing_that_attention_drops(kind: str) -> None:
    def drops(pooling: str) -> list[float]:
        model = build(CAUSAL[kind].model_copy(update={"pooling": pooling}), FEATURES, 3)
        return [module.p for module in model.modules() if isinstance(module, DropoutOverTime)]

    # What is read is registered before the layers.
    assert drops("attention") == [drops("last")[-1], *drops("last")[:-1], 0.0]


def test_a_running_mean_counts_past_half_precision() -> None:
    mean = RunningMean(1)
    _, state = mean(torch.ones(4000, 1, 1, dtype=torch.float16))
    found, state = mean(torch.zeros(4000, 1, 1, dtype=torch.float16), state)
    assert state.tolist() == [[0.5, 8000]]
    assert found.tolist() == [[0.5]]


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
