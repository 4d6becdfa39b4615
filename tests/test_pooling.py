import pytest
import torch

from action_indrnn.pooling import Attention, RunningMean, SeenPooling


def test_a_running_mean_counts_past_half_precision() -> None:
    mean = RunningMean(1)
    _, state = mean(torch.ones(4000, 1, 1, dtype=torch.float16))
    found, state = mean(torch.zeros(4000, 1, 1, dtype=torch.float16), state)
    assert state.tolist() == [[0.5, 8000]]
    assert found.tolist() == [[0.5]]


def test_what_is_read_of_steps_with_somebody_by_hand() -> None:
    x = torch.tensor([[5.0, 0], [2, 1], [4, 1], [9, 0]])[:, None]  # (T, B, width and whether it counts)
    pooling = SeenPooling(1, "both")
    assert pooling(x)[0].tolist() == [[4, 3]]
    read, state = pooling(x[:2])
    assert read.tolist() == [[2, 2]]
    assert pooling(x[3:], state)[0].tolist() == [[2, 2]]
    pooling.reverse = True
    assert pooling(x)[0].tolist() == [[2, 3]]


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
    made = Attention(5, 0.0, "step")
    for half in (False, True):  # in which shares stay whole
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            _, mean, weighted = made(x)[0].chunk(3, dim=1)
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
