"""The recipe of SGN's and CTR-GCN's scripts, one rule a test; each expected value follows from the rule."""

import numpy as np
import pytest

from action_indrnn.data_prep import archive, bodies, catalogue, ctr_gcn, layout, preprocess, skeleton_file
from action_indrnn.data_prep.clip import ClipError

from .conftest import Body, person, skeleton_text

LAYOUT = layout.load("ntu25")
CENTRE = LAYOUT.centre


def recording(frames: list[list[Body]]) -> skeleton_file.Recording:
    return skeleton_file.parse(skeleton_text(frames), "a.skeleton")


def walk(x: float, frame: int, speed: float = 0.01) -> np.ndarray:
    return person(x + speed * frame)


def moved(joints: np.ndarray, x: float) -> np.ndarray:
    return joints + np.array([x, 0, 0])


def centres(actors: np.ndarray, actor: int) -> list[float]:
    """The centre joint's x in every frame."""
    return [round(float(value), 3) for value in actors[actor, :, CENTRE, 0]]


def test_frames_without_a_body_are_dropped_and_gaps_close() -> None:
    frames = [[(1, walk(0, t))] if t not in (3, 4) else [] for t in range(20)]
    actors, dropped = ctr_gcn.denoise(recording(frames))
    assert (actors.shape[:2], dropped) == ((1, 18), [])
    assert centres(actors, 0) == [round(0.01 * t, 3) for t in range(20) if t not in (3, 4)]


def test_a_body_that_returns_is_written_without_its_gap() -> None:
    away = (15, 16, 17, 18)
    frames = [[(1, walk(0, t, 0.05)), *([(2, walk(2, t))] if t not in away else [])] for t in range(30)]
    actors, _ = ctr_gcn.denoise(recording(frames))
    late = [t for t in range(30) if t not in away]
    assert centres(actors, 1) == [round(2 + 0.01 * t, 3) for t in late] + [0.0] * 4
    clip, _ = bodies.choose(recording(frames), LAYOUT)  # ours keeps the frame numbers
    assert clip.present[1].tolist() == [t not in away for t in range(30)]


def test_the_most_moving_body_is_first() -> None:
    frames = [[(1, walk(0, t, 0.01)), (2, walk(2, t, 0.05))] for t in range(20)]
    actors, _ = ctr_gcn.denoise(recording(frames))
    assert centres(actors, 0)[:2] == [2.0, 2.05]
    assert centres(actors, 1)[:2] == [0.0, 0.01]


def test_short_bodies_are_dropped_but_a_lone_one_is_not() -> None:
    frames = [[(1, walk(0, t)), *([(2, walk(2, t))] if t < 11 else [])] for t in range(20)]
    actors, dropped = ctr_gcn.denoise(recording(frames))
    assert len(actors) == 1
    assert [(drop.body_id, drop.frames) for drop in dropped] == [(2, 11)]
    actors, _ = ctr_gcn.denoise(recording([[(1, walk(0, t))] for t in range(3)]))
    assert actors.shape[:2] == (1, 3)


def test_wide_bodies_are_dropped_but_never_the_last() -> None:
    wide = person() * [1, 0.1, 1]
    frames = [[(1, walk(0, t)), (2, moved(wide, 2 + 0.5 * t))] for t in range(20)]
    actors, dropped = ctr_gcn.denoise(recording(frames))
    assert (len(actors), [drop.body_id for drop in dropped]) == (1, [2])
    both = [[(1, wide), (2, moved(wide, 2))] for t in range(20)]
    actors, dropped = ctr_gcn.denoise(recording(both))
    assert (len(actors), [drop.body_id for drop in dropped]) == (1, [1])


def test_wide_frames_do_not_count_as_motion() -> None:
    wide = person() * [1, 0.1, 1]
    frames = [[(1, walk(0, t, 0.05)), (2, moved(wide, 9) if t % 4 == 0 else walk(2, t))] for t in range(20)]
    actors, dropped = ctr_gcn.denoise(recording(frames))
    assert dropped == []
    assert centres(actors, 0)[1] == 0.05
    assert centres(actors, 1)[:2] == [9.0, 2.01]  # they stay in the clip


def test_a_body_that_comes_later_continues_the_first_actor() -> None:
    frames = [[(1, walk(0, t, 0.05))] if t < 15 else [(2, walk(1, t))] for t in range(30)]
    actors, _ = ctr_gcn.denoise(recording(frames))
    assert actors.shape[:2] == (2, 30)
    assert centres(actors, 0) == [round(0.05 * t, 3) for t in range(15)] + [
        round(1 + 0.01 * t, 3) for t in range(15, 30)
    ]
    assert not actors[1].any()


def test_a_body_that_overlaps_both_actors_is_dropped() -> None:
    frames = [[(body, walk(body, t, 0.05 / body)) for body in (1, 2, 3)] for t in range(20)]
    actors, dropped = ctr_gcn.denoise(recording(frames))
    assert (centres(actors, 0)[0], centres(actors, 1)[0]) == (1.0, 2.0)
    assert [(drop.body_id, drop.reason) for drop in dropped] == [(3, "overlaps both actors")]


def test_frames_in_which_no_kept_body_stands_are_removed() -> None:
    frames = [[(1, walk(0, t))] if t < 15 else [(2, walk(1, t))] for t in range(20)]
    actors, _ = ctr_gcn.denoise(recording(frames))  # body 2 is short
    assert actors.shape[:2] == (1, 15)


def test_the_origin_is_the_first_actor_s_centre_and_absent_actors_stay_zero() -> None:
    frames = [
        [*([(1, walk(1, t, 0.1))] if t >= 2 else []), *([(2, walk(3, t))] if t < 18 else [])]
        for t in range(20)
    ]
    clip, _ = ctr_gcn.choose(recording(frames), LAYOUT)
    assert clip.present.tolist() == [[t >= 2 for t in range(20)], [t < 18 for t in range(20)]]
    assert centres(clip.joints, 0) == [0.0, 0.0] + [round(0.1 * t, 3) for t in range(18)]
    assert centres(clip.joints, 1)[:2] == [1.8, 1.81]
    assert not clip.joints[~clip.present].any()


def test_a_lone_body_s_frames_of_zeros_are_moved_like_all_others() -> None:
    frames = [[(1, person(0.5) if t else person() * 0)] for t in range(20)]
    clip, _ = ctr_gcn.choose(recording(frames), LAYOUT)
    np.testing.assert_array_equal(clip.joints[0, 0, 7], -np.float32(person(0.5)[CENTRE]))
    assert not clip.joints[0, 1:, CENTRE].any()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([[]] * 5, "expected a body, found none in 5 frames"),
        ([[(1, person()), (2, person(2))]] * 11, "in more than 11 frames, found none of 2"),
        ([[(1, person() * 0)]] * 5, "expected a body, found only zeros"),
    ],
)
def test_where_the_scripts_stop_the_clip_is_refused(frames, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        ctr_gcn.choose(recording(frames), LAYOUT)


def test_the_raw_view_is_the_denoised_stage(made_raw, tmp_path) -> None:
    preprocess.preprocess(catalogue.find("made"), [made_raw], tmp_path / "set", recipe="ctr-gcn", view="raw")
    prepared = archive.read(tmp_path / "set")
    assert prepared.meta["preprocessing"] == {"view": "raw", "recipe": "ctr-gcn", "most_actors": 2}
    assert len(prepared.index) == 60
    for number in range(60):
        clip = prepared.clip(number)
        actors, _ = ctr_gcn.denoise(skeleton_file.read(made_raw / f"{clip.name}.skeleton"))
        np.testing.assert_array_equal(clip.joints, actors)
        translated, _ = ctr_gcn.choose(skeleton_file.read(made_raw / f"{clip.name}.skeleton"), LAYOUT)
        assert abs(clip.joints[0] - translated.joints[0]).max() > 1  # the sensor is that far


def test_in_the_raw_view_a_lone_actor_s_zeros_stay() -> None:
    zeros = [[(1, person(0.5) if t else person() * 0)] for t in range(20)]
    clip, _ = ctr_gcn.untranslated(recording(zeros))
    assert not clip.joints[0, 0].any()
    assert clip.present.all()


def test_a_set_of_this_recipe_says_so(made_raw, tmp_path) -> None:
    preprocess.preprocess(catalogue.find("made"), [made_raw], tmp_path / "set", recipe="ctr-gcn")
    prepared = archive.read(tmp_path / "set")
    assert prepared.meta["preprocessing"]["recipe"] == "ctr-gcn"
    for number in range(0, len(prepared.index), 9):
        clip = prepared.clip(number)
        found = skeleton_file.read(made_raw / f"{clip.name}.skeleton")
        np.testing.assert_array_equal(clip.joints, ctr_gcn.choose(found, LAYOUT)[0].joints)
    with pytest.raises(
        ValueError, match=r"ctr-gcn: expected \.skeleton recordings and the view camera or raw"
    ):
        preprocess.preprocess(
            catalogue.find("made"), [made_raw], tmp_path / "no", recipe="ctr-gcn", view="first-frame"
        )
