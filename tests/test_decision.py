import numpy as np
import pytest

from action_indrnn.decision import Decision, Rule, Segment

from .test_streaming import recognizer, walk

SLOT = 1 / 30


def of(label: int, share: float = 0.9) -> np.ndarray:
    rest = (1 - share) / 3
    return np.where(np.arange(4) == label, share, rest)


UNSURE = np.full(4, 0.25)


def decide(rule: Rule, *parts: tuple[np.ndarray, int], seen: float = 1.0) -> list[tuple[int, Segment]]:
    """The events with their frames."""
    decision, events, frame = Decision(rule), [], 0
    for probabilities, frames in parts:
        for _ in range(frames):
            events += [(frame, event) for event in decision.update(probabilities, seen, frame * SLOT)]
            frame += 1
    return events


def test_an_action_begins_once_held_and_ends_when_weak() -> None:
    events = decide(Rule(smoothing=0, hold=0.2), (UNSURE, 10), (of(2), 30), (UNSURE, 10))
    assert [frame for frame, _ in events] == [16, 40]
    begun, ended = (event for _, event in events)
    assert begun == Segment(2, pytest.approx(10 * SLOT))
    assert ended == Segment(2, pytest.approx(10 * SLOT), pytest.approx(40 * SLOT))


def test_one_action_gives_way_to_another() -> None:
    events = [event for _, event in decide(Rule(smoothing=0, hold=0.2), (of(0), 20), (of(3), 20))]
    assert [(event.label, event.end is None) for event in events] == [(0, True), (0, False), (3, True)]


def test_a_short_flash_and_an_early_guess_are_no_action() -> None:
    assert decide(Rule(), (UNSURE, 10), (of(1, 1.0), 3), (UNSURE, 10)) == []
    assert decide(Rule(), (of(1, 1.0), 60), seen=0.2) == []


def test_every_action_of_a_long_sequence_is_said_once() -> None:
    """200 actions, with pauses and without, and every tenth frame wrong."""
    random = np.random.default_rng(0)
    labels = [0]
    while len(labels) < 200:
        labels.append(int(random.choice([label for label in range(4) if label != labels[-1]])))
    parts = []
    for label in labels:
        for _ in range(60):
            wrong = random.random() < 0.1
            parts.append((of(int(random.integers(4)), 0.8) if wrong else of(label, 0.8), 1))
        parts.append((UNSURE, int(random.integers(0, 60))))
    begun = [event.label for _, event in decide(Rule(), *parts) if event.end is None]
    assert begun == labels
    waited = [frame for frame, event in decide(Rule(), *parts) if event.end is None]
    starts = np.cumsum([0] + [frames for _, frames in parts])[:-1].reshape(200, 61)[:, 0]
    assert np.max(waited - starts) < 30


def test_windows_of_a_stream_restart_only_where_asked_for() -> None:
    for restart in (False, True):
        network = recognizer()
        stream = network.stream(rule=Rule(smoothing=0, threshold=0.995, release=0.995, restart=restart))
        ended = False
        for joints in walk(120, seed=3):
            found = stream.feed({1: joints})
            ended = bool(found.events) and found.answers[0].action < 0
            if ended:
                break
        assert ended
        assert (sum(stream.scene.followed[1,].windows.counts) == 0) == restart


def test_smoothing_has_its_time_constant_at_any_frame_rate() -> None:
    for rate in (10, 200):
        decision = Decision(Rule(smoothing=0.5, threshold=1))
        decision.update(of(0, 1.0), 1, 0)
        for frame in range(1, rate // 2 + 1):
            decision.update(of(1, 1.0), 1, frame / rate)
        assert decision.smoothed[0] == pytest.approx(np.exp(-1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": 2}, "threshold: expected a share between 0 and 1, found 2"),
        ({"hold": -1}, "hold: expected 0 seconds or more"),
        ({"release": 0.9}, "release: expected at most the threshold 0.6"),
    ],
)
def test_bad_rules_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rule(**given)
