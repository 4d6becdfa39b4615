import csv
import json
import math
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from action_indrnn import task_fit
from action_indrnn.layers import IndRNN
from action_indrnn.task_config import Fit
from action_indrnn.task_fit import Point, Score, Trainer


class Slope(nn.Module):
    """One number that the loss -x pulls up without end."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(()))


def trainer(scores: list[float], model: nn.Module | None = None, **settings: object) -> Trainer:
    """One whose validations give the scores, the last one ever after."""
    model = model or Slope()
    left = [*scores]

    def validate() -> Score:
        assert not model.training
        assert not torch.is_grad_enabled()
        loss = left.pop(0) if len(left) > 1 else left[0]
        return Score(loss, 2 * loss)

    fit = Fit(**{"every": 2, "learning_rate": 0.1, **settings})
    return Trainer(model, fit, lambda: -model.x, validate, measure="minus x", test=lambda: Score(7, 8))


def test_the_best_weights_stay() -> None:
    made = trainer([3, 1, 2], steps=6)
    made.run()
    assert [point.step for point in made.points] == [2, 4, 6]
    assert [point.figure for point in made.points] == [6, 2, 4]
    assert made.model.x.item() == pytest.approx(0.4, rel=1e-4)  # Adam's steps are as long as the rate


def test_the_test_has_its_own_data() -> None:
    assert trainer([1]).test() == Score(7, 8)
    model = Slope()
    assert Trainer(model, Fit(), lambda: model.x, lambda: Score(0, 0), measure="x").test() is None


def test_the_training_loss_is_the_mean_since_the_last_validation() -> None:
    made = trainer([1], steps=4)
    made.run()
    assert [point.train_loss for point in made.points] == pytest.approx([-0.05, -0.25], rel=1e-4)


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
        ({"steps": 3}, [1], 4),  # looked at when a validation is due
        ({"enough": 0.5}, [3, 2, 0.4, 1], 6),
        ({"drop_every": 4, "learning_rate_min": 0.05}, [1], 4),
    ],
)
def test_training_ends(settings: dict[str, object], scores: list[float], steps: int) -> None:
    made = trainer(scores, **settings)
    made.run()
    assert made.step == steps


def test_training_ends_when_its_time_is_up() -> None:
    made = trainer([1])
    made.run(seconds=0.05)
    assert len(made.points) > 1
    assert made.points[-1].seconds >= 0.05
    assert made.points[-2].seconds < 0.05
    assert 0 < made.points[0].cpu_seconds < made.points[-1].cpu_seconds


def test_gradients_are_clipped_and_recurrent_weights_clamped() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.indrnn = IndRNN(3, length=1, magnification=1)
            self.x = nn.Parameter(torch.zeros(()))

    seen = []

    def loss() -> Tensor:
        seen.append(model.indrnn.u.detach().clone())
        return -100 * model.x - model.indrnn.u.sum()

    model = Net()
    made = Trainer(model, Fit(every=20, steps=20, gradient_clip=0.5), loss, lambda: Score(0, 0), measure="x")
    made.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # Adam does not show the size of a gradient
    made.run()
    assert model.x.item() == pytest.approx(20 * 0.1 * 0.5)
    assert (model.indrnn.u == 1).all()
    assert all((u <= 1).all() for u in seen)


def test_a_loss_that_is_not_finite_is_said() -> None:
    model = Slope()
    made = Trainer(model, Fit(), lambda: model.x * math.inf, lambda: Score(0, 0), measure="x")
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
    assert made.step == 6


def test_curves_are_written_as_csv_and_json(tmp_path: Path) -> None:
    curves = {"a": [Point(1, 0.5, 0.25, 0.1, 3, 2, 4)], "b": [Point(2, 1.5, 1, 0.1, 3, 2, 5)] * 2}
    task_fit.write_curves(tmp_path / "curve.csv", curves, {})
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["step"], row["figure"]) for row in rows] == [
        ("a", "1", "4"), ("b", "2", "5"), ("b", "2", "5"),
    ]  # fmt: skip
    task_fit.write_curves(tmp_path / "curve.json", curves, {"task": "adding"})
    found = json.loads((tmp_path / "curve.json").read_text())
    assert found["task"] == "adding"
    assert found["curves"]["a"] == [
        {
            "step": 1,
            "seconds": 0.5,
            "cpu_seconds": 0.25,
            "learning_rate": 0.1,
            "train_loss": 3,
            "loss": 2,
            "figure": 4,
        }
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "curve.json"]
