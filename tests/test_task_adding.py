import math

import pytest
import torch

from action_indrnn import task_adding, task_config
from action_indrnn.task_config import Adding, AddingNet


def small(**train: object) -> Adding:
    overrides = ["model.units=16", "data.length=10", "data.test=64", "train.learning_rate=0.01"]
    return task_config.load(
        Adding, "task_adding", [*overrides, *(f"train.{name}={value}" for name, value in train.items())]
    )


@pytest.mark.parametrize("length", [2, 7, 100])
def test_the_target_is_the_sum_of_one_number_of_each_half(length: int) -> None:
    x, target = task_adding.sequences(
        length, 2000 if length == 100 else 200, torch.Generator().manual_seed(0)
    )
    value, marked = x.unbind(dim=2)
    assert x.shape[::2] == (length, 2)
    assert set(marked.unique().tolist()) <= {0, 1}
    half = length // 2
    assert (marked[:half].sum(dim=0) == 1).all()
    assert (marked[half:].sum(dim=0) == 1).all()
    torch.testing.assert_close((value * marked).sum(dim=0), target)
    assert (marked.sum(dim=1) > 0).all()  # every step is marked once in so many


def test_the_baseline_is_the_error_of_the_mean() -> None:
    _, target = task_adding.sequences(10, 200_000, torch.Generator().manual_seed(0))
    assert (target - 1).square().mean().item() == pytest.approx(task_adding.BASELINE, rel=0.01)


def test_networks_have_the_published_size() -> None:
    """17,152 and 67,072 (arXiv 1910.06251, biases counted once in an LSTM), and 129 of the answer."""
    indrnn = task_adding.AddingIndRNN(AddingNet(units=128), 100)
    assert sum(p.numel() for p in indrnn.parameters()) == 17_152 + 129
    lstm = task_adding.AddingLSTM(AddingNet(units=128))
    assert sum(p.numel() for p in lstm.parameters()) == 67_072 + 4 * 128 + 129


def test_the_answer_s_layer_starts_with_a_whole_memory() -> None:
    model = task_adding.AddingIndRNN(AddingNet(units=1000), 5000)
    assert model.indrnn1.u.min() < 0.01
    assert 2 ** (-1 / 5000) <= model.indrnn2.u.min() <= model.indrnn2.u.max() <= 2 ** (1 / 5000)


@pytest.mark.parametrize("kind", ["indrnn", "lstm"])
def test_short_sequences_are_learned(kind: str) -> None:
    settings = small(steps=300, every=100)
    settings = settings.model_copy(update={"model": AddingNet(kind=kind, units=16, deviation=0.2)})
    trainer = task_adding.trainer(settings)
    trainer.run()
    assert trainer.points[-1].loss < 0.25 * task_adding.BASELINE


def test_sequences_grow_while_the_loss_is_low_and_validations_are_of_the_whole_length(monkeypatch) -> None:
    lengths, rates = [], []
    original = task_adding.sequences

    def spy(length: int, batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        lengths.append(length)
        return original(length, batch, generator)

    monkeypatch.setattr(task_adding, "sequences", spy)
    grown = {"length": 10, "grow_from": 3, "grown_rate": 0.5}

    def run(limit: float) -> list[int]:
        lengths.clear()
        settings = small(steps=8, every=2)
        data = settings.data.model_copy(update={**grown, "grown": limit})
        trainer = task_adding.trainer(settings.model_copy(update={"data": data}))
        trainer.run()
        rates.append([point.learning_rate for point in trainer.points])
        return lengths

    assert run(1000.0) == [10, 3, 3, 6, 6, 10, 10, 10, 10]  # the first is the held-out data
    assert run(1e-9) == [10] + [3] * 8
    assert rates == [pytest.approx([0.01, 0.005, 0.0025, 0.0025]), [0.01] * 4]


def test_a_seed_fixes_the_curve() -> None:
    def losses(seed: int) -> list[tuple[float, float]]:
        trainer = task_adding.trainer(small(steps=6, every=2, seed=seed))
        trainer.run()
        return [(point.train_loss, point.loss) for point in trainer.points]

    first = losses(3)
    assert len(first) == 3
    assert all(map(math.isfinite, sum(first, ())))
    assert losses(3) == first
    assert losses(4) != first


def test_the_test_is_on_sequences_of_its_own(monkeypatch) -> None:
    drawn = []
    whole = task_adding.sequences
    monkeypatch.setattr(task_adding, "sequences", lambda *how: drawn.append(whole(*how)) or drawn[-1])
    trainer = task_adding.trainer(small())
    score = trainer.test()
    (held_out, _), (x, target) = drawn
    assert x.shape == (10, task_adding.TESTED, 2)
    assert not torch.equal(held_out, x[:, : held_out.shape[1]])
    with torch.no_grad():
        expected = (trainer.model(x) - target).square().mean().item()
    assert score.loss == pytest.approx(expected, rel=1e-5)
