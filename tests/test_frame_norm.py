import pytest
import torch
from torch import nn

from action_indrnn.frame_norm import FrameBatchNorm


def test_counts_each_step_alone() -> None:
    torch.manual_seed(0)
    norm, x = FrameBatchNorm(3, frames=7), torch.randn(7, 5, 3) * 4 + 2
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    y = norm(x)
    one = nn.BatchNorm1d(3, momentum=None)  # of step 4; its statistics are a mean over all batches
    one.load_state_dict({"weight": norm.weight, "bias": norm.bias}, strict=False)
    torch.testing.assert_close(y[4], one(x[4]))
    torch.testing.assert_close(norm.running_mean[4], one.running_mean)
    torch.testing.assert_close(norm.running_var[4], one.running_var)
    torch.testing.assert_close(norm.eval()(x)[4], one.eval()(x[4]))
    changed = torch.cat((x[:5], x[5:] + 100))  # what comes later does not matter
    torch.testing.assert_close(FrameBatchNorm(3, frames=7)(changed)[:5] * norm.weight, y[:5])


def test_shares_the_statistics_of_late_steps() -> None:
    torch.manual_seed(0)
    norm, x = FrameBatchNorm(2, frames=4), torch.randn(3, 6, 2) + 1
    norm(x, start=2)  # steps 2, 3 and 4: one of its own, two that share the last place
    mean = x.mean(dim=1)
    expected = torch.stack((torch.zeros(2), torch.zeros(2), mean[0], mean[1:].mean(dim=0)))
    torch.testing.assert_close(norm.running_mean, expected)
    before = norm.running_mean[:3].clone()
    norm(x, start=1000)
    torch.testing.assert_close(norm.running_mean[:3], before)
    norm.eval()
    whole = norm(torch.cat((x, x, x)))
    pieces = [norm(x, start=start) for start in (0, 3, 6)]
    torch.testing.assert_close(torch.cat(pieces), whole)


def test_the_first_batches_count_alike_and_later_ones_by_the_momentum() -> None:
    torch.manual_seed(0)
    norm, mean_of_all, latest = (
        FrameBatchNorm(2, frames=9),
        *(nn.BatchNorm1d(2, momentum=momentum) for momentum in (None, 0.1)),
    )
    for number in range(30):
        x = torch.randn(4, 6, 2) * 3 + number
        norm(x)
        norm(x[:1])  # only the first step is seen twice as often
        if number < 10:
            mean_of_all(x[3])
            latest.load_state_dict(mean_of_all.state_dict())
        else:
            latest(x[3])
        torch.testing.assert_close(norm.running_mean[3], latest.running_mean)
        torch.testing.assert_close(norm.running_var[3], latest.running_var)
    assert norm.seen.tolist() == [60, 30, 30, 30, 0, 0, 0, 0, 0]


def test_a_segment_counts_once_for_the_steps_that_share() -> None:
    torch.manual_seed(0)
    norm, x = FrameBatchNorm(2, frames=3), torch.randn(2, 8, 6, 2)
    norm(x[0])
    norm(x[1], start=8)
    assert norm.seen.tolist() == [1, 1, 2]
    late = (x[0, 2:].mean(dim=(0, 1)) + x[1].mean(dim=(0, 1))) / 2
    torch.testing.assert_close(norm.running_mean[2], late)


def test_beyond_what_training_came_to_the_last_step_stands_for_the_others() -> None:
    torch.manual_seed(0)
    norm, x = FrameBatchNorm(2, frames=9), torch.randn(6, 5, 2) + 3
    torch.testing.assert_close(norm.eval()(x), x / (1 + norm.eps) ** 0.5)  # untrained: 0 and 1
    norm.train()(x[:4])
    y = norm.eval()(x)
    late = (x[3:] - x[3].mean(dim=0)) / (x[3].var(dim=0) + norm.eps).sqrt()
    torch.testing.assert_close(y[3:], late)


def test_refuses_to_train_on_one_sequence() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        FrameBatchNorm(3, frames=7)(torch.randn(7, 1, 3))
