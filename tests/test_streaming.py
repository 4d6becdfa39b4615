import math
from array import array

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from action_indrnn import __version__, config, models, step
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep import layout, made
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.normalize import normalize
from action_indrnn.dataset import Clips
from action_indrnn.decision import Rule
from action_indrnn.evaluation import exchanged_passes
from action_indrnn.recognizer import Recognizer
from action_indrnn.scene import CLOCK, RATE
from action_indrnn.streaming import FrameAnswers, Stream, feed_all

from .conftest import person

FRAMES, STRIDE = 5, 4
LAYOUT = layout.load("ntu25")


def recognizer(view: str = "camera", data: tuple[str, ...] = (), **model: object) -> Recognizer:
    torch.manual_seed(1)
    small = ("model.units=16", "model.blocks=1", f"data.frames={FRAMES}", *data)
    settings = config.load("residual", small)
    if model:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update=model)})
    card = Card(
        program=f"action-indrnn {__version__}", config=settings, dataset="made", protocol="xsub", whole=False,
        classes=tuple(made.CLASSES), features=150, view=view, joint_layout=LAYOUT.table(), seed=0, epochs=1,
        clips=(1, 1, 1), held_out="nobody", clip_frames=FRAMES * STRIDE,
    )  # fmt: skip
    network = models.build(settings, 150, len(made.CLASSES), LAYOUT).eval()
    with torch.no_grad():
        network.classifier.weight.mul_(30)  # answers that differ
    return Recognizer(network, card)


def walk(frames: int, x: float = 0.0, seed: int = 0) -> np.ndarray:
    """(frames, 25, 3) joints that move."""
    random = np.random.default_rng(seed)
    drift = np.cumsum(random.normal(0, 0.02, (frames, 25, 3)), axis=0)
    return (person(x) + drift).astype(np.float32)


def run(stream: Stream, bodies: dict[int, np.ndarray]) -> list[FrameAnswers]:
    frames = len(next(iter(bodies.values())))
    return [stream.feed({name: joints[t] for name, joints in bodies.items()}) for t in range(frames)]


def logits_of(network: Recognizer, joints: np.ndarray, frames: torch.Tensor | None = None) -> np.ndarray:
    """(k, K) logits of the whole clip by the road of `classify`, one row for each choice of frames."""
    clip = Clip("clip", joints, joints.any(axis=(2, 3)))
    clips = Clips.of_clips([normalize(clip, LAYOUT, network.card.view)])
    clips = network.shown(clips)
    if frames is None:
        frames = torch.arange(FRAMES) * STRIDE + torch.arange(STRIDE)[:, None]
    numbers = torch.zeros(len(frames), dtype=torch.int64)
    others = exchanged_passes(len(frames), network.card.config.evaluate.exchange)
    x = clips.exchanged(clips.batch(numbers, frames), numbers.numpy(), others)
    with torch.inference_mode():
        return network.model(x)[0].numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


@pytest.mark.parametrize("view", ["camera", "first-frame", "raw"])
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("data.align=true",),
        ("data.hold=true",),
        ("evaluate.exchange=true",),
        ("data.align=true", "evaluate.exchange=true"),
    ],
)
@pytest.mark.parametrize("actors", [1, 2])
def test_a_clip_fed_frame_by_frame_gets_the_logits_of_the_whole_clip(
    view: str, actors: int, settings: tuple[str, ...]
) -> None:
    network = recognizer(view, settings)
    joints = np.stack([walk(FRAMES * STRIDE, 0.5 * number, number) for number in range(actors)])
    joints[-1, 7:9] = 0  # two frames in which nobody is seen there
    if actors == 2:
        joints[0] += np.linspace(0, 1, FRAMES * STRIDE, dtype=np.float32)[:, None, None]  # the main actor
    stream = network.stream()
    found = run(stream, dict(enumerate(joints)))
    (answer,) = [one for one in found[-1].answers if len(one.bodies) == actors]
    expected = logits_of(network, joints)
    windows = stream.scene.followed[answer.bodies].windows
    np.testing.assert_allclose(windows.logits[:STRIDE], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(answer.probabilities, softmax(expected.mean(axis=0)), rtol=1e-3, atol=1e-6)
    assert answer.seen == 1
    assert len({tuple(one.answers[0].probabilities) for one in found}) == len(found)  # new after every frame


@pytest.mark.parametrize("length", [5, 6, 7, 8, 9, 11, 12, 13, 18, 22, 27, 33])
def test_a_window_is_as_long_as_asked(length: int) -> None:
    network, joints = recognizer(), walk(2 * length)
    found = run(network.stream(duration=length / RATE, windows=1), {0: joints})
    phases = max(1, round(length / FRAMES))
    # Step j of phase p lies in slot p + k j, and a frame shows all slots that end with it.
    slots = torch.arange(phases)[:, None] + phases * torch.arange(FRAMES)
    last = torch.tensor([int((t + 1) * phases * FRAMES / length + 0.5 + CLOCK) - 1 for t in range(length)])
    frames = torch.searchsorted(last, slots)
    assert frames[0, 0] == 0
    assert frames[-1, -1] >= length - 1 - (length < phases * FRAMES)
    for start in (0, length):  # the second window begins with the first's end
        clip, answer = joints[None, start : start + length], found[start + length - 1].answers[0]
        expected = softmax(logits_of(network, clip, frames).mean(axis=0))
        np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-3, atol=1e-6)
        assert answer.seen == 1


def test_a_window_of_fewer_frames_than_steps_sees_them_all() -> None:
    network, joints = recognizer(), walk(FRAMES)
    short = run(network.stream(duration=3 / RATE), {0: joints})
    usual = run(network.stream(duration=FRAMES / RATE), {0: joints})
    assert short[0].answers[0].seen == 1 / FRAMES
    for one, other in zip(short, usual, strict=True):
        np.testing.assert_array_equal(one.answers[0].probabilities, other.answers[0].probabilities)


def test_joints_in_any_order_of_memory_are_the_same_joints() -> None:
    network, joints = recognizer(), walk(3)
    turned = [np.asfortranarray(one) for one in joints]
    for bodies in ({1: joints}, {1: joints, 2: joints}):
        usual = run(network.stream(), bodies)
        found = run(network.stream(), dict.fromkeys(bodies, turned))
        for one, other in zip(found, usual, strict=True):
            for answer, expected in zip(one.answers, other.answers, strict=True):
                np.testing.assert_array_equal(answer.probabilities, expected.probabilities)


def test_windows_restart_and_the_fullest_answers() -> None:
    network, length = recognizer(), FRAMES * STRIDE
    joints = walk(3 * length)
    found = run(network.stream(rule=Rule(threshold=1)), {3: joints})
    seen = [answer.answers[0].seen for answer in found]
    assert seen[:length] == [(t + 1) / length for t in range(length)]
    assert min(seen[length:]) == pytest.approx(0.5 + 1 / length)
    for start in (length // 2, length, 2 * length):  # a window's end: all that it saw is one clip
        end = start + length - 1
        expected = softmax(logits_of(network, joints[None, start : start + length]).mean(axis=0))
        np.testing.assert_allclose(found[end].answers[0].probabilities, expected, rtol=1e-3, atol=1e-6)


def test_time_stamps_of_any_rate_step_by_time() -> None:
    network = recognizer()
    joints = walk(40)
    usual = run(network.stream(), {0: joints[:20]})[-1].answers[0]
    doubled = network.stream()  # 60 frames a second: every second one is another's repetition
    for t in range(20):
        doubled.feed({0: joints[t]}, 7 + t / RATE)
        last = doubled.feed({0: joints[t] + 0.3}, 7 + t / RATE + 0.3 / RATE)
    np.testing.assert_array_equal(last.answers[0].probabilities, usual.probabilities)
    slow = network.stream()  # 7.5 a second: every frame steps every phase
    for t in range(FRAMES):
        found = slow.feed({0: joints[t * STRIDE]}, t * STRIDE / RATE)
    windows = slow.scene.followed[0,].windows
    assert windows.stepped[:STRIDE] == [FRAMES] + [FRAMES - 1] * (STRIDE - 1)
    assert found.time == pytest.approx((FRAMES - 1) * STRIDE / RATE)


def test_late_missing_and_stale() -> None:
    stream = recognizer().stream(gap=1)
    first = stream.feed({0: person()}, 5.0)
    stream.feed({0: person(0.1)}, 5.2)  # five frames are missing
    late = stream.feed({0: person(3)}, 5.1)
    assert late.late
    assert not first.late
    assert late.answers[0].bodies == (0,)
    assert stream.scene.people.known[0].centre[0] == pytest.approx(0.1)
    stream.feed({0: person(0.2)}, 9.0)
    assert sum(stream.scene.followed[0,].windows.stepped) == 1  # a new start
    assert not stream.feed({}, 9.5).late
    assert stream.feed({}, 10.2).answers == []  # nobody for longer than the gap


def test_a_clock_that_begins_anew_and_a_wrong_stamp_silence_nobody() -> None:
    stream = recognizer().stream()
    joints = walk(3 * FRAMES)
    for t in range(FRAMES):
        stream.feed({0: joints[t]}, 120 + t / RATE)
    fresh = recognizer().stream()
    for t in range(FRAMES):
        found, expected = stream.feed({0: joints[t]}, t / RATE), fresh.feed({0: joints[t]}, t / RATE)
        assert not found.late
        np.testing.assert_array_equal(found.answers[0].probabilities, expected.answers[0].probabilities)
    stream.feed({0: joints[0]}, 1e9)
    assert not stream.feed({0: joints[1]}, 1.0).late


@pytest.mark.parametrize(("unit", "name"), [(1e3, "milli"), (1e6, "micro"), (1e9, "nano")])
@pytest.mark.parametrize("start", [0.0, 1.7e9])
def test_time_stamps_that_are_no_seconds_are_refused_until_they_are(
    start: float, unit: float, name: str
) -> None:
    stream = recognizer().stream()
    for frame in range(3):
        stream.feed({0: person()}, min(start * unit, 1e11) + frame * unit / RATE)
    for frame in range(3, 9):
        time = min(start * unit, 1e11) + frame * unit / RATE
        for _ in range(2):  # asked twice it says the same
            with pytest.raises(
                ValueError, match=f"time: expected seconds, .*: these look like {name}seconds"
            ):
                stream.check({0: person()}, time)
        with pytest.raises(ValueError, match="time: expected seconds"):
            stream.feed({0: person()}, time)
    stream.feed({0: person()}, time + 1 / RATE)  # from here on they are


def test_frames_far_apart_are_no_milliseconds() -> None:
    stream = recognizer().stream()
    # never thrice as far as a camera's frames are in another unit
    for time in (0, 3, 6, 9, 12, 45, 78, 81, 114, 117):
        assert not stream.feed({0: person()}, float(time)).late


@pytest.mark.parametrize("time", [1.7e308, -1e13, math.nan, math.inf])
def test_a_time_that_no_clock_shows_is_refused(time: float) -> None:
    stream = recognizer().stream()
    stream.feed({0: person()}, 0.0)
    with pytest.raises(ValueError, match="time: expected seconds, found"):
        stream.feed({0: person()}, time)
    assert stream.feed({0: person()}, 1 / RATE).time == pytest.approx(1 / RATE)


def test_a_person_found_again_under_another_id_goes_on() -> None:
    stream = recognizer().stream()
    run(stream, {4: walk(6)})
    stream.feed({})
    found = stream.feed({9: walk(6)[-1]})
    assert [answer.bodies for answer in found.answers] == [(4,)]
    assert sum(stream.scene.followed[4,].windows.stepped) == 8
    elsewhere = stream.feed({9: walk(6)[-1], 11: person(4.0)})
    assert [answer.bodies for answer in elsewhere.answers] == [(4,), (11,)]


def test_persons_have_states_of_their_own_and_pairs_only_when_close() -> None:
    network = recognizer()
    near, far = walk(12, 1.0, 1), walk(12, 6.0, 2)
    alone = run(network.stream(), {0: near})[-1].answers[0]
    found = run(network.stream(), {0: near, 1: walk(12, 1.5, 3), 2: far})[-1]
    assert [answer.bodies for answer in found.answers] == [(0,), (1,), (2,), (0, 1)]
    np.testing.assert_allclose(found.answers[0].probabilities, alone.probabilities, rtol=1e-4)
    few = run(network.stream(people=1), {0: near, 1: far})[-1]
    assert [answer.bodies for answer in few.answers] == [(0,)]


@pytest.mark.parametrize("exchange", ["false", "true"])
def test_saved_and_restored_goes_on_to_the_bit(exchange: str) -> None:
    network = recognizer("first-frame", (f"evaluate.exchange={exchange}",))
    joints = {"left": walk(50, 0.0, 4), 7: walk(50, 0.8, 5)}
    rule = Rule(threshold=0.2, release=0.1, hold=0.05)
    whole = network.stream(rule=rule)
    expected = run(whole, joints)
    first, second = network.stream(rule=rule), network.stream(rule=rule)
    run(first, {name: one[:23] for name, one in joints.items()})
    # Without exchange a state is what it was before there was one.
    assert (b"exchange" in first.save()) == (exchange == "true")
    second.restore(first.save())
    found = run(second, {name: one[23:] for name, one in joints.items()})
    for ours, theirs in zip(found, expected[23:], strict=True):
        assert (ours.frame, ours.time, ours.events) == (theirs.frame, theirs.time, theirs.events)
        for one, other in zip(ours.answers, theirs.answers, strict=True):
            assert one.bodies == other.bodies
            np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert any(one.events for one in expected)
    second.reset()
    np.testing.assert_array_equal(
        run(second, joints)[-1].answers[0].probabilities, expected[-1].answers[0].probabilities
    )
    other = recognizer("first-frame", (f"evaluate.exchange={'true' if exchange == 'false' else 'false'}",))
    for stranger in (network.stream(duration=9), other.stream()):
        with pytest.raises(ValueError, match="expected the grid"):
            stranger.restore(first.save())
    with pytest.raises(ValueError, match="expected the state of a stream"):
        second.restore(b"\0" * 100)


def test_many_streams_at_once_are_as_if_alone() -> None:
    network = recognizer()
    clips = {f"camera {number}": walk(15, seed=number) for number in range(6)}
    alone = {name: run(network.stream(), {0: one}) for name, one in clips.items()}
    streams = network.streams()
    for t in range(15):
        names = [name for number, name in enumerate(clips) if number < 3 or t > 4]
        found = streams.feed({name: ({0: clips[name][t - 5 * (int(name[-1]) >= 3)]}, None) for name in names})
    for number, name in enumerate(clips):
        expected = alone[name][14 if number < 3 else 9].answers[0].probabilities
        np.testing.assert_allclose(found[name].answers[0].probabilities, expected, rtol=1e-4, atol=1e-7)
    streams.close("camera 3")
    assert len(streams.open) == 5
    one = network.stream()
    with pytest.raises(ValueError, match="found two of one"):
        feed_all([(one, {}, None), (one, {}, None)])


@pytest.mark.parametrize(
    ("joints", "time", "message"),
    [
        (np.zeros((20, 3)), None, "body 1: expected the 25 joints of ntu25 .*, found 20 without names"),
        (np.full((25, 3), math.nan), None, "body 1: base of spine: expected metres within .*, found x = nan"),
        (person(3000), None, "body 1: base of spine: expected metres within .*, found x = 2999"),
        (person(), math.inf, "time: expected seconds, found inf"),
    ],
)
def test_bad_frames_are_refused_and_change_nothing(joints, time, message: str) -> None:
    stream = recognizer().stream()
    stream.feed({1: person()})
    before = stream.save()
    with pytest.raises(ValueError, match=message):
        stream.feed({1: joints}, time)
    assert stream.save() == before


def test_bad_settings_and_networks_are_refused() -> None:
    for wrong, message in (
        ({"duration": -1}, "duration: expected a number above 0, at most 3600, found -1"),
        ({"duration": 1e9}, r"duration: .* found 1e\+09"),
        ({"rate": 1e9}, r"rate: expected a number above 0, at most 1000, found 1e\+09"),
        ({"rate": math.nan}, "rate: .* found nan"),
        ({"windows": 0}, "windows: expected 1 to 100, found 0"),
        ({"windows": 10_000}, "windows: expected 1 to 100, found 10000"),
        ({"people": 65}, "people: expected 1 to 64, found 65"),
        (
            {"rate": 1000, "duration": 3600},
            "expected at most 64 MiB to remember of a person, found 340: 2 windows",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            recognizer().stream(**wrong)
    network = recognizer(bidirectional=True)
    with pytest.raises(ValueError, match="walks forwards only"):
        network.stream()
    older = recognizer().card.model_copy(update={"clip_frames": None})
    assert Recognizer(recognizer().model, older).stream().settings.duration == 2.5
    assert isinstance(recognizer().step, step.FusedStep)


def test_a_stream_takes_no_more_memory_with_time() -> None:
    stream = recognizer().stream(rule=Rule(threshold=0.2, release=0.1))
    sizes = []
    for frame in range(1200):  # a tracker that gives a new id to one person every ten frames, and clutter
        bodies = {frame // 10: person(0.001 * (frame % 50))}
        if frame % 3 == 0:
            bodies[10**6 + frame] = person(5 + frame % 7)
        stream.feed(bodies)
        sizes.append(
            (len(stream.scene.people.known), len(stream.scene.people.names), len(stream.scene.followed))
        )
    assert max(sizes[600:]) <= max(sizes[:600])
    assert max(people for people, _, _ in sizes) <= stream.settings.people
    assert (0,) in stream.scene.followed


@hypothesis_settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.004, 1 / 60, 1 / 30, 0.07, 0.2, 1.1, 3.0, -0.5]),
            st.dictionaries(st.integers(0, 3), st.integers(0, 3), max_size=3),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 59),
    st.integers(0, 2),
)
def test_whatever_comes_is_answered_and_can_be_cut_anywhere(frames: list, cut: int, which: int) -> None:
    """Any rate, gaps, late frames, people who come and go: cut and restored, the answers are the same."""
    network = (NETWORK, HOLDING, EXCHANGING)[which]
    poses = [person(x).astype(np.float32) for x in (0.0, 0.3, 1.5, 5.0)]
    whole, first = network.stream(gap=2), network.stream(gap=2)
    time, newest = 10.0, 0.0
    for number, (passed, bodies) in enumerate(frames):
        time += passed
        seen = {body: poses[place] for body, place in bodies.items()}
        if number == cut:
            second = network.stream(gap=2)
            second.restore(first.save())
            first = second
        found, again = whole.feed(seen, time), first.feed(seen, time)
        anew = time < newest - 2  # the clock has begun anew
        assert found.late == (time < newest and not anew)
        newest = time if anew else max(newest, time)
        assert (found.frame, found.time) == (number, newest)
        for one, other in zip(found.answers, again.answers, strict=True):
            assert one.bodies == other.bodies
            assert one.probabilities.sum() == pytest.approx(1)
            assert 0 <= one.seen <= 1
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


NETWORK, HOLDING = recognizer(), recognizer(data=("data.hold=true",))
EXCHANGING = recognizer(data=("data.hold=true", "data.align=true", "evaluate.exchange=true"))


def test_who_is_not_seen_stays_until_forgotten() -> None:
    joints, seen, lost = walk(60), HOLDING.stream(), HOLDING.stream()
    for t in range(60):
        still = joints[t if t < 20 or t >= 50 else 19]
        expected = seen.feed({4: still})
        found = lost.feed({} if 20 <= t < 40 else {4: np.zeros((25, 3))} if 40 <= t < 50 else {4: still})
        for ours, theirs in zip(found.answers, expected.answers, strict=True):
            np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    late = lost.feed({4: joints[0] + 1}, lost.scene.time - 0.1)
    assert late.late
    np.testing.assert_array_equal(lost.scene.people.known[4].pose, joints[59])
    assert lost.feed({}, lost.scene.time + 2.5).answers == []


@pytest.mark.parametrize(
    ("view", "data"),
    [
        ("camera", ()),
        ("first-frame", ("data.hold=true",)),
        ("raw", ("data.align=true",)),
        ("camera", ("data.align=true", "evaluate.exchange=true")),
    ],
)
def test_joints_stepped_as_they_are_give_what_their_features_give(view: str, data: tuple[str, ...]) -> None:
    network = recognizer(view, data)
    if network.step.scenes is None:
        pytest.skip("the compiled step was not built")
    by_features = step.FusedStep(network.model)  # type: ignore[arg-type]
    by_features.scenes = None
    one, other = network.stream(), network.stream()
    other.step = by_features
    joints = {name: walk(60, x, name) for name, x in ((0, 0.0), (1, 0.7), (2, 5.0))}
    time = 0.0
    for t in range(60):
        time += (1 / 30, 1 / 30, 0.2)[t % 3]  # with a slow frame several phases step at once
        bodies = {name: own[t] for name, own in joints.items() if (t + name) % 11}
        found, expected = one.feed(bodies, time), other.feed(bodies, time)
        assert [answer.bodies for answer in found.answers] == [answer.bodies for answer in expected.answers]
        for ours, theirs in zip(found.answers, expected.answers, strict=True):
            np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-3, atol=1e-6)
    for unit, followed in one.scene.followed.items():
        np.testing.assert_allclose(
            followed.windows.logits, other.scene.followed[unit].windows.logits, rtol=1e-4, atol=1e-4
        )


def test_joints_that_do_not_make_the_features_are_refused() -> None:
    network = recognizer()
    if network.step.scenes is None:
        pytest.skip("the compiled step was not built")
    for joints, actors in ((np.zeros((1, 20, 3), np.float32), 2), (np.zeros((1, 25, 3)), 2)):
        with pytest.raises(ValueError, match="joints: expected contiguous float32 that make 150 features"):
            network.step.scenes.see(joints, array("q", []), actors, False)
    with pytest.raises(ValueError, match="table: expected rows of 5 words, found 4"):
        network.step.scenes.see(np.zeros((1, 25, 3), np.float32), array("q", [0] * 4), 2, False)
