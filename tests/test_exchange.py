"""The second of two people as main actor: as if the clip had been recorded so, for every view."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from action_indrnn import config, evaluation, models, networks, over_time
from action_indrnn.config import Data
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.normalize import VIEWS, View, normalize
from action_indrnn.dataset import Clips

LAYOUT = layout.load("ntu25")
FRAMES = 12


def two_people(**gone: slice) -> Clip:
    """Of other sizes, looking other ways, each unseen in the frames given for first and second."""
    random = np.random.default_rng(0)
    joints = random.normal(size=(2, FRAMES, len(LAYOUT.joints), 3)).astype(np.float32)
    joints[1] = 1.3 * joints[1] + np.float32([0.5, -0.1, 2.0])
    present = np.ones((2, FRAMES), bool)
    for body, name in enumerate(("first", "second")):
        present[body, gone.get(name, slice(0))] = False
    joints[~present] = 0
    return Clip("two", joints, present)


def shown(clips: Sequence[Clip], view: View, *, align: bool) -> Clips:
    normal = [normalize(clip, LAYOUT, view) for clip in clips]
    return Clips.of_clips(normal).shown_as(Data(align=align), LAYOUT, view)


def every_frame(clips: Clips) -> torch.Tensor:
    count = len(clips.names)
    return clips.batch(torch.arange(count), torch.arange(FRAMES).expand(count, -1))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("gone", [{}, {"first": slice(0, 3)}, {"second": slice(0, 4)}])
def test_the_second_stands_as_if_recorded_first(view: View, align: bool, gone: dict[str, slice]) -> None:
    clip = two_people(**gone)
    clips = shown([clip], view, align=align)
    x, only = every_frame(clips), np.array([0])
    found = clips.exchanged(x, only, np.array([True]))
    other = Clip("two", clip.joints[::-1].copy(), clip.present[::-1].copy())
    expected = every_frame(shown([other], view, align=align))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found == 0, expected == 0)
    assert torch.equal(clips.exchanged(x, only, np.array([False])), x)


def test_only_clips_of_two_people_that_are_chosen_are_exchanged() -> None:
    whole, brief = two_people(), two_people(second=slice(0, 7))
    alone = Clip("one", whole.joints[:1], whole.present[:1])
    clips = shown([alone, brief, whole, whole], "camera", align=True)
    x = every_frame(clips)
    found = clips.exchanged(x, np.arange(4), np.array([True, True, False, True]))
    assert torch.equal(found[:, :3], x[:, :3])
    assert not torch.isclose(found[:, 3], x[:, 3]).all(dim=1).any()  # no frame is as it was


def test_every_second_pass_shows_the_second_person_first() -> None:
    torch.manual_seed(0)
    model = models.build(networks.Plain(units=8, layers=1), 150, 5).eval()
    one, two = two_people(), two_people(first=slice(0, 2))
    clips, numbers = shown([one, two], "camera", align=True), np.array([1, 0])

    def logits(clips: Clips, *, exchange: bool) -> np.ndarray:
        return evaluation.scores(
            model, clips, numbers, frames=6, sampling="whole", passes=5, batch=4, exchange=exchange
        )

    own, both = logits(clips, exchange=False), logits(clips, exchange=True)
    others = [Clip(clip.name, clip.joints[::-1].copy(), clip.present[::-1].copy()) for clip in (one, two)]
    exchanged = logits(shown(others, "camera", align=True), exchange=False)
    np.testing.assert_array_equal(both[::2], own[::2])
    np.testing.assert_allclose(both[1::2], exchanged[1::2], rtol=1e-3, atol=1e-4)
    assert (abs(own - exchanged) > 0.01).any(axis=2).all()
    running = over_time.running_logits(
        model, clips, numbers, frames=6, sampling="whole", passes=5, batch=20, exchange=True
    )
    np.testing.assert_allclose(running[-1], both.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_pieces_of_recordings_are_not_exchanged() -> None:
    with pytest.raises(config.ConfigError, match=r"expects exchange 0, found 0\.5"):
        config.load("detect", ("data.exchange=0.5",))
    with pytest.raises(config.ConfigError, match=r"expects evaluate\.exchange false"):
        config.load("detect", ("evaluate.exchange=true",))
