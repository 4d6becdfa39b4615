import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from action_indrnn import task_fit
from action_indrnn.layers import IndRNN
from action_indrnn.task_config import Fit
from action_indrnn.task_fit import Score, Trainer


class Slope(nn.Module):
    """One number that the loss -x pulls up without end."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(()))


class Pull:
    """A task whose validations give the scores, the last one ever after."""

    measure, data = "minus x", "none"

    def __init__(self, scores: list[Score], model: nn.Module) -> None:
        self.model, self.left, self.tested = model, scores, Score(7, 8)

    def loss(self, step: int) -> Tensor:
        return -self.model.x

    def validate(self) -> Score:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def test(self) -> Score | None:
        return self.tested

    def position(self) -> dict[str, Any]:
        return {"left": len(self.left)}

    def restore(self, position: dict[str, Any]) -> None:
        del self.left[: -position["left"]]


def trainer(losses: list[float], **settings: object) -> Trainer:
    task = Pull([Score(loss, 2 * loss) for loss in losses], Slope())
    return Trainer(task, Fit(**{"every": 2, "learning_rate": 0.1, **settings}))


def test_the_best_weights_stay() -> None:
    made = trainer([3, 1, 2], steps=6)
    made.run()
    assert [point.step for point in made.points] == [2, 4, 6]
    assert [point.figure for point in made.points] == [6, 2, 4]
    assert made.model.x.item() == pytest.approx(0.4, rel=1e-4)  # Adam's steps are as long as the rate


def test_the_test_has_its_own_data() -> None:
    made = trainer([1])
    assert made.test() == Score(7, 8)
    made.task.tested = None
    assert made.test() is None


def test_the_training_loss_is_the_mean_since_the_last_validation() -> None:
    made = trainer([1], steps=4)
    made.run()
    assert [point.train_loss for point in made.points] == pytest.approx([-0.05, -0.25], rel=1e-4)
    made = trainer([1], steps=3)
    made.run()
    assert [point.train_loss for point in made.points] == pytest.approx([-0.05, -0.2], rel=1e-4)


def test_the_rate_drops_when_nothing_gets_better_and_the_best_come_back() -> None:
    made = trainer([1, 2], patience=1, steps=10, learning_rate_drop=0.5)
    made.run()
    # better, two misses, drop; the patience of the second drop is one, too
    assert [point.learning_rate for point in made.points] == pytest.approx([0.1] * 4 + [0.05])
    assert made.model.x.item() == pytest.approx(0.2, rel=1e-4)


def test_the_rate_drops_on_schedule() -> None:
    made = trainer([1], drop_every=3, steps=8, every=1)
    made.run()
    assert [point.learning_rate for point in made.points] == pytest.approx(
        [0.1] * 3 + [0.01] * 3 + [0.001] * 2
    )


@pytest.mark.parametrize(
    ("settings", "scores", "steps"),
    [
        ({"steps": 3}, [1], 3),  # with a validation of its own
        ({"enough": 0.5}, [3, 2, 0.4, 1], 6),
        ({"drop_every": 4, "learning_rate_min": 0.05}, [1], 4),
    ],
)
def test_training_ends(settings: dict[str, object], scores: list[float], steps: int) -> None:
    made = trainer(scores, **settings)
    made.run()
    assert made.progress.step == steps


def test_training_ends_when_its_time_is_up() -> None:
    made = trainer([1])
    made.run(seconds=0.05)
    assert len(made.points) > 1
    assert made.points[-1].seconds >= 0.05
    assert made.points[-2].seconds < 0.05
    assert 0 < made.points[0].cpu_seconds < made.points[-1].cpu_seconds


def test_training_ends_when_its_processor_time_is_up() -> None:
    made = trainer([1])
    made.run(cpu_seconds=0.05)
    assert made.points[-1].cpu_seconds >= 0.05
    assert made.points[-2].cpu_seconds < 0.05


def test_a_score_may_change_the_rate() -> None:
    made = trainer([], steps=6)
    made.task.left = [Score(3, 3), Score(2, 2, rate=0.5), Score(1, 1)]
    made.run()
    assert [point.learning_rate for point in made.points] == pytest.approx([0.1, 0.1, 0.05])


def test_each_step_draws_its_own_dropout_whatever_was_drawn_before() -> None:
    drawn: dict[int, list[float]] = {}

    class Drawing(Pull):
        def loss(self, step: int) -> Tensor:
            drawn.setdefault(step, []).append(torch.rand(()).item())
            return super().loss(step)

    for before in (0, 3):
        torch.rand(before)
        Trainer(Drawing([Score(1, 1)], Slope()), Fit(every=4, steps=4)).run()
    assert all(first == second for first, second in drawn.values())
    assert len({first for first, _ in drawn.values()}) == 4


def test_data_are_told_apart() -> None:
    tensors = torch.arange(6), torch.arange(3.0)
    same = task_fit.fingerprint(*tensors)
    assert same == task_fit.fingerprint(*(tensor.clone() for tensor in tensors))
    others = [(tensors[1], tensors[0]), (tensors[0],), (tensors[0].view(2, 3), tensors[1])]
    others.append((tensors[0].flip(0), tensors[1]))
    assert len({same, *(task_fit.fingerprint(*other) for other in others)}) == 5


def test_a_run_that_has_dropped_its_rate_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    losses, path = [1, 2, 2, 2, 0.5, 3, 3, 3], tmp_path / "run.pt"
    settings = {"patience": 1, "learning_rate_drop": 0.5, "steps": 16}
    straight = trainer(losses, **settings)
    straight.run()
    for steps in (6, 10, 10, 16):  # a finished run is its own end
        made = trainer(losses, **{**settings, "steps": steps})
        if path.exists():
            made.resume(path, {"u": "1"})
        made.run(checkpoint=path, made_with={"u": "1"})
    curve = [[point.step, point.learning_rate, point.train_loss, point.loss] for point in made.points]
    assert curve == [[p.step, p.learning_rate, p.train_loss, p.loss] for p in straight.points]
    assert len({point.learning_rate for point in made.points}) > 1
    assert made.model.x.item() == straight.model.x.item()
    seconds = [point.seconds for point in made.points]
    assert seconds == sorted(seconds)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    made = trainer([1], steps=4)
    made.run(checkpoint=path, made_with={"u": "1"})
    with pytest.raises(ValueError, match=r"run.pt: expected u 2, found 1; only train.steps and the time may"):
        trainer([1]).resume(path, {"u": "2"})
    with pytest.raises(ValueError, match=r"run.pt: expected at most 2 steps .* found 4 trained"):
        trainer([1], steps=2).resume(path, {"u": "1"})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"run.pt: expected a checkpoint"):
        trainer([1]).resume(path, {"u": "1"})


def test_gradients_are_clipped_and_recurrent_weights_clamped() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.indrnn = IndRNN(3, length=1, magnification=1)
            self.x = nn.Parameter(torch.zeros(()))

    seen = []

    class Both(Pull):
        def loss(self, step: int) -> Tensor:
            seen.append(model.indrnn.u.detach().clone())
            return -100 * model.x - model.indrnn.u.sum()

    model = Net()
    made = Trainer(Both([Score(0, 0)], model), Fit(every=20, steps=20, gradient_clip=0.5))
    made.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # Adam does not show the size of a gradient
    made.run()
    assert model.x.item() == pytest.approx(20 * 0.1 * 0.5)
    assert (model.indrnn.u == 1).all()
    assert all((u <= 1).all() for u in seen)


def test_a_loss_that_is_not_finite_is_said() -> None:
    made = trainer([1])
    made.task.loss = lambda step: made.model.x * math.inf
    with pytest.raises(ValueError, match=r"expected a finite loss, found nan in step 1; a lower"):
        made.run()


def test_an_interruption_keeps_the_curve() -> None:
    kept = []
    made = trainer([1])

    def keep() -> None:
        kept.append(len(made.points))
        if len(kept) == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        made.run(keep=keep)
    assert kept == [1, 2, 3]
    assert made.progress.step == 6
