"""The second of two people as main actor: as if the clip had been recorded so, for every view."""

import numpy as np
import pytest
import torch

from action_indrnn import augment, config
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


def shown(clip: Clip, view: View, *, align: bool) -> Clips:
    return Clips.of_clips([normalize(clip, LAYOUT, view)]).shown_as(Data(align=align), LAYOUT)


def every_frame(clips: Clips) -> torch.Tensor:
    return clips.batch(torch.zeros(1, dtype=torch.long), torch.arange(FRAMES)[None])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("gone", [{}, {"first": slice(0, 3)}, {"second": slice(0, 4)}])
def test_the_second_stands_as_if_recorded_first(view: View, align: bool, gone: dict[str, slice]) -> None:
    clip = two_people(**gone)
    clips = shown(clip, view, align=align)
    two, origin, turn = clips.second(np.array([0]), LAYOUT, view, align=align)
    assert two.tolist() == [True]
    found = augment.exchange(every_frame(clips), two, origin, turn)
    other = Clip("two", clip.joints[::-1].copy(), clip.present[::-1].copy())
    expected = every_frame(shown(other, view, align=align))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found == 0, expected == 0)
    assert torch.equal(augment.exchange(every_frame(clips), ~two, origin, turn), every_frame(clips))


def test_only_clips_of_two_people_that_are_chosen_are_exchanged() -> None:
    whole, brief = two_people(), two_people(second=slice(0, 7))
    alone = Clip("one", whole.joints[:1], whole.present[:1])
    clips = Clips.of_clips([normalize(clip, LAYOUT) for clip in (alone, brief, whole, whole)])
    two, origins, turns = clips.second(np.array([0, 1, 3]), LAYOUT, "camera", align=True)
    assert two.tolist() == [False, False, False, True]
    assert not origins[:3].any()
    assert torch.equal(turns[:3], torch.eye(3).repeat(3, 1, 1))
    assert origins[3].any()
    assert not torch.equal(turns[3], torch.eye(3))


def test_pieces_of_recordings_are_not_exchanged() -> None:
    with pytest.raises(config.ConfigError, match=r"expects exchange 0, found 0\.5"):
        config.load("detect", ("data.exchange=0.5",))
