from action_indrnn.schedule import Schedule


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
