import numpy as np
import pytest
import torch

from action_indrnn import config, evaluation, every_frame, models
from action_indrnn.batches import Batches
from action_indrnn.config import ConfigError
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.untrimmed import Action, Untrimmed
from action_indrnn.dataset import Clips
from action_indrnn.every_frame import Pieces

from .test_streaming import walk

LAYOUT = layout.load("ntu25")
SMALL = ("model.units=16", "train.batch=8")


def pieces(prepared: PreparedSet, recordings: tuple[Untrimmed, ...] = (), **given: float) -> Pieces:
    wanted = {"frames": 64, "follow": 1.0, "pause": 1.0, "speed": 0.0, **given}
    clips, labels = Clips.of_set(prepared), prepared.column("label")
    return Pieces(clips, labels, np.arange(40), recordings, LAYOUT, none=14, **wanted)  # type: ignore[arg-type]


def test_a_piece_shows_clips_under_their_labels_and_pauses_between(made_set: PreparedSet) -> None:
    some = pieces(made_set, frames=400)
    labels = made_set.column("label")
    seen = set()
    for seed in range(5):
        x, outputs = some.draw(7, np.random.default_rng(seed))
        assert x.shape == (400, 150)
        assert outputs.shape == (400,)
        assert np.isfinite(x).all()
        seen |= set(outputs.tolist())
        assert set(outputs.tolist()) <= {*labels[:40].tolist(), 14}
        again, _ = some.draw(7, np.random.default_rng(seed))
        np.testing.assert_array_equal(again, x)
    assert 14 in seen
    assert len(seen) > 3


def test_a_piece_begins_in_its_clip_or_the_pause_before(made_set: PreparedSet) -> None:
    some, label = pieces(made_set, frames=20), int(made_set.column("label")[7])
    first = {int(some.draw(7, np.random.default_rng(seed))[1][0]) for seed in range(30)}
    assert first == {label, 14}


def test_pieces_of_real_recordings_keep_each_frame_s_label(made_set: PreparedSet) -> None:
    joints = walk(300)[:, None]
    real = Untrimmed("a", joints, [Action(100, 200, 3)], {"subject": 1})
    some = pieces(made_set, (real,), frames=50, speed=0.5)
    shares = []
    for seed in range(60):
        _, outputs = some.draw(0, np.random.default_rng(seed))
        if set(outputs.tolist()) <= {3, 14}:
            shares.append((outputs == 3).mean())
    assert len(shares) > 20
    assert 0.2 < np.mean(shares) < 0.5  # a third of the recording
    short = pieces(made_set, (Untrimmed("b", joints[:20], [Action(0, 20, 3)], {}),), frames=50)
    drawn = [short.draw(0, np.random.default_rng(seed)) for seed in range(20)]
    padded = [(x, y) for x, y in drawn if not x[:30].any()]
    assert padded
    for x, outputs in padded:
        assert x[30:].any(axis=1).all()
        assert outputs.tolist() == [14] * 30 + [3] * 20


def test_a_faster_clip_is_shorter(made_set: PreparedSet) -> None:
    joints = every_frame.clip(Clips.of_set(made_set), 5)
    labels = np.arange(len(joints))
    faster, kept = every_frame._played(joints, labels, 2.0)
    assert len(faster) == len(kept) == round(len(joints) / 2)
    np.testing.assert_allclose(faster[[0, -1]], joints[[0, -1]], atol=1e-6)
    assert (np.diff(kept) >= 1).all()


def test_a_batch_of_pieces_has_an_output_for_every_frame(made_set: PreparedSet) -> None:
    settings = config.load("detect", ("train.batch=8", "data.frames=40"))
    some = pieces(made_set, frames=40)
    batches = Batches(settings, some.clips, some.labels, some.numbers, torch.device("cpu"), LAYOUT, some)
    numbers = batches.of(0)[0]
    ((x, outputs),) = batches.parts(numbers, 3)
    assert (x.shape, outputs.shape) == ((40, 8, 150), (40, 8))
    halved = config.load("detect", ("train.batch=8", "data.frames=40", "train.accumulate=2"))
    shared = Batches(halved, some.clips, some.labels, some.numbers, torch.device("cpu"), LAYOUT, some)
    parts = list(shared.parts(numbers, 3))
    torch.testing.assert_close(torch.cat([part for part, _ in parts], dim=1), x)
    assert torch.equal(torch.cat([part for _, part in parts], dim=1), outputs)


def test_a_clip_is_judged_by_the_mean_over_its_own_frames(made_set: PreparedSet) -> None:
    torch.manual_seed(0)
    settings = config.load("detect", SMALL)
    model = models.build(settings, 150, 14, LAYOUT).eval()
    assert model.classes == 15
    clips, numbers = Clips.of_set(made_set), np.array([3, 40, 50])
    together = evaluation.judged(model, clips, numbers, settings, LAYOUT)
    assert together.shape == (1, 3, 14)
    for place, number in enumerate(numbers):
        x = torch.from_numpy(every_frame.features(every_frame.clip(clips, number), LAYOUT, 1.0))[:, None]
        state, total = None, torch.zeros(1, 14)
        with torch.inference_mode():
            for frame in x:
                logits, state = model(frame[None], state)
                total += torch.log_softmax(logits[:, :-1], dim=1)
        np.testing.assert_allclose(together[0, place], total[0] / len(x), rtol=1e-3, atol=1e-4)


def test_memory_bounds_every_recurrent_weight() -> None:
    model = models.build(config.load("detect", (*SMALL, "model.memory=20")), 150, 14, LAYOUT)
    for layer in model.recurrences():
        assert layer.bound == pytest.approx(np.exp(-1 / 20))
        assert layer.u.abs().max() <= layer.bound


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.pooling=both", "data.sampling 'every' expects model.pooling 'last'"),
        ("data.align=true", "sampling 'every' expects align False, found True"),
        ("data.crop=0.5", "sampling 'every' expects crop 1, found 0.5"),
        ("data.hold=true", "sampling 'every' expects hold False, found True"),
        ("data.graft=0.5", "sampling 'every' expects graft 0, found 0.5"),
    ],
)
def test_settings_that_do_not_fit_every_frame_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load("detect", (override,))
