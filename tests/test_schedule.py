import math

import pytest

from action_indrnn.config import Train
from action_indrnn.schedule import Schedule, epochs, rate


def judge(schedule: Schedule, epoch: int, accuracy: float, loss: float = 1.0) -> str:
    return schedule.judge(epoch, accuracy, loss, patience=4, drop=0.1)


def test_the_rate_drops_after_patience_and_patience_halves() -> None:
    schedule = Schedule(2e-4)
    assert judge(schedule, 1, 0.5) == "better"
    # 4 misses are borne, a fifth exceeds the patience, the next one drops
    assert [judge(schedule, 2, 0.4) for _ in range(6)] == ["worse"] * 5 + ["drop"]
    assert schedule.learning_rate == 2e-4 * 0.1
    assert [judge(schedule, 3, 0.4) for _ in range(4)] == ["worse"] * 3 + ["drop"]
    assert [judge(schedule, 4, 0.4) for _ in range(3)] == ["worse"] * 2 + ["drop"]
    assert schedule.drops == 3
    assert (schedule.best_accuracy, schedule.best_epoch) == (0.5, 1)


def test_a_better_validation_forgives_misses() -> None:
    schedule = Schedule(1.0)
    judge(schedule, 1, 0.5)
    for epoch in range(2, 7):
        judge(schedule, epoch, 0.4)
    assert judge(schedule, 7, 0.6) == "better"
    assert [judge(schedule, 8, 0.6) for _ in range(5)] == ["worse"] * 5
    assert schedule.drops == 0


def test_equal_accuracy_is_better_with_less_loss() -> None:
    schedule = Schedule(1.0)
    assert judge(schedule, 1, 0.5, 1.0) == "better"
    assert judge(schedule, 2, 0.5, 1.0) == "worse"
    assert judge(schedule, 3, 0.5, 0.9) == "better"
    assert judge(schedule, 4, 0.4, 0.1) == "worse"


def rates(steps: int = 4, **settings: object) -> list[float]:
    train = Train(learning_rate=0.1, learning_rate_min=0.01, max_epochs=3, **settings)
    return [rate(train, 0.1, step, steps) for step in range(3 * steps)]


def test_the_published_rate_stays_between_drops() -> None:
    assert rates() == [0.1] * 12
    assert rate(Train(learning_rate=0.1), 0.001, 5, 4) == 0.001  # what drops have left


def test_a_small_set_has_more_epochs() -> None:
    train = Train(max_epochs=60, min_steps=3000, schedule="cosine")
    assert [epochs(train, steps) for steps in (4, 7, 50, 1250)] == [750, 429, 60, 60]
    assert epochs(Train(), 4) is None
    assert rate(train, 1.0, 4 * 750 // 2, 4) == pytest.approx(0.5, abs=1e-5)
    assert rate(train, 1.0, 4 * 750, 4) == pytest.approx(train.learning_rate_min)


def test_the_rate_warms_up_in_a_straight_line() -> None:
    assert rates(warm_up=2) == pytest.approx([0.0125 * step for step in range(1, 9)] + [0.1] * 4)


def test_a_cosine_falls_from_the_rate_to_the_least() -> None:
    found = rates(schedule="cosine")
    assert found[0] == 0.1
    assert found[6] == pytest.approx(0.055)  # half of the way at half of the time
    assert found[3] == pytest.approx(0.01 + 0.09 * (1 + 2**-0.5) / 2)
    assert 0.01 < found[-1] < 0.012
    assert rates(schedule="cosine", warm_up=1)[:4] == pytest.approx(
        [found[step] * (step + 1) / 4 for step in range(4)]
    )


def test_infinite_patience_never_drops() -> None:
    schedule = Schedule(1.0)
    verdicts = {schedule.judge(epoch, 0.5 - 0.001 * epoch, 1.0, math.inf, 0.1) for epoch in range(300)}
    assert verdicts == {"better", "worse"}
