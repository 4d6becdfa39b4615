import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_indrnn import dataset
from action_indrnn.config import Data
from action_indrnn.data_prep import layout, normalize
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.clip import Clip
from action_indrnn.dataset import Clips, sample_frames


def sample(length: int, frames: int, seed: int = 0, count: int = 2000) -> np.ndarray:
    uniform = np.random.default_rng(seed).random((count, frames + 1))
    return sample_frames(torch.full((count,), length), frames, torch.from_numpy(uniform)).numpy()


def test_a_long_clip_gives_one_frame_of_every_segment() -> None:
    found = sample(47, 20)  # segments of two frames, the last of 47 - 38 = 9
    assert found.shape == (2000, 20)
    for place in range(20):
        expected = {2 * place, 2 * place + 1} if place < 19 else set(range(38, 47))
        assert set(found[:, place]) == expected


def test_a_middling_clip_gives_a_window_of_consecutive_frames() -> None:
    found = sample(23, 20)
    assert (np.diff(found, axis=1) == 1).all()
    assert set(found[:, 0]) == {0, 1, 2, 3}


def test_a_short_clip_is_laid_into_zeros() -> None:
    found = sample(8, 20)
    assert set((found >= 0).sum(axis=1)) == {8}
    assert {tuple(row[row >= 0]) for row in found} == {tuple(range(8))}
    assert set((found >= 0).argmax(axis=1)) == set(range(12))


def test_a_clip_of_the_window_s_length_may_be_pushed_out_by_up_to_a_quarter() -> None:
    found = sample(20, 20)
    starts = (found >= 0).argmax(axis=1)
    assert set(starts) == set(range(5))
    for start in range(5):
        some = found[starts == start]
        assert set(some[:, start]) == set(range(start + 1))  # the first frame that is still inside
        assert (np.diff(some[:, start:], axis=1) == 1).all()


def test_a_fixed_number_of_frames_draws_nothing() -> None:
    random = np.random.default_rng(0)
    assert {dataset.draw_frames(20, 0.0, random) for _ in range(5)} == {20}
    assert random.random() == np.random.default_rng(0).random()


def test_a_random_number_of_frames_is_the_published_one() -> None:
    random = np.random.default_rng(0)
    found = np.array([dataset.draw_frames(20, 5.0, random) for _ in range(20_000)])
    assert 5 <= found.min() < 7
    assert 36 < found.max() <= 40
    assert found.mean() == pytest.approx(19.5, abs=0.1)  # whole numbers below a normal one
    assert found.std() == pytest.approx(5, abs=0.1)
    wild = np.array([dataset.draw_frames(20, 1000.0, random) for _ in range(1000)])
    assert (wild == 20).mean() > 0.9  # twice outside, then given up
    assert {dataset.draw_frames(1, 3.0, random) for _ in range(100)} == {1, 2}


@given(st.integers(1, 120), st.integers(1, 40), st.integers(0, 1000))
def test_samples_are_frames_of_the_clip_in_order(length: int, frames: int, seed: int) -> None:
    found = sample(length, frames, seed, count=8)
    assert found.min() >= -1
    assert found.max() < length
    for row in found:
        taken = row[row >= 0]
        assert taken.size
        assert (np.diff(taken) > 0).all()


def test_one_frame_is_drawn_from_the_whole_clip() -> None:
    assert set(sample(6, 1)[:, 0]) == set(range(6))


def two_clips() -> list[Clip]:
    random = np.random.default_rng(0)
    clips = []
    for name, bodies, length in (("a", 1, 3), ("b", 2, 4)):
        present = np.ones((bodies, length), bool)
        present[-1, 1] = False
        joints = random.normal(size=(bodies, length, 25, 3)).astype(np.float32)
        joints[~present] = 0
        clips.append(Clip(name, joints, present))
    return clips


def test_a_batch_holds_both_actors_joint_by_joint() -> None:
    one, two = two_clips()
    clips = Clips.of_clips([one, two])
    assert clips.features == 150
    batch = clips.batch(torch.tensor([1, 0]), torch.tensor([[3, 1, -1], [0, 1, 2]])).numpy()
    assert batch.shape == (3, 2, 150)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(
        batch[0, 0], np.concatenate([two.joints[0, 3].ravel(), two.joints[1, 3].ravel()])
    )
    np.testing.assert_array_equal(batch[1, 0, :75], two.joints[0, 1].ravel())
    assert not batch[1, 0, 75:].any()  # absent in that frame
    assert not batch[2, 0].any()  # beyond the clip
    np.testing.assert_array_equal(batch[2, 1, :75], one.joints[0, 2].ravel())
    assert not batch[:, 1, 75:].any()  # no second actor
    assert not batch[1, 1].any()


def test_a_whole_clip_is_walked_in_even_steps() -> None:
    length, frames = 9, 4
    steady = np.arange(length, dtype=np.float32)[None, :, None, None] + np.ones((1, 1, 25, 3), np.float32)
    clips = Clips.of_clips([Clip("steady", steady, np.ones((1, length), bool))])
    uniform = np.full((2, frames + 1), 0.25)
    uniform[1] = 0.0
    x = clips.sample(np.array([0, 0]), frames, uniform, "whole").numpy()
    assert x.shape == (frames, 2, 150)
    np.testing.assert_allclose(x[:, 0, 0], 1 + np.array([0.5, 2.5, 4.5, 6.5]))
    np.testing.assert_allclose(x[:, 1, 0], 1 + np.array([0, 2, 4, 6]))
    long = clips.sample(np.array([0]), 40, np.full((1, 41), 0.5), "whole").numpy()
    np.testing.assert_allclose(np.diff(long[:, 0, 0]), 8 / 40, rtol=1e-4)  # frames between the recorded ones
    assert not x[:, :, 75:].any()  # no second actor


def test_between_frames_a_body_is_where_it_was_seen() -> None:
    one, two = two_clips()
    clips = Clips.of_clips([one, two])
    x = clips.between(torch.tensor([1, 0]), torch.tensor([[0.25, 0.75, 2.5], [0.5, 0.9, 2.0]])).numpy()
    first, second = two.joints.reshape(2, 4, 75)
    np.testing.assert_allclose(x[0, 0, :75], 0.75 * first[0] + 0.25 * first[1], rtol=1e-5)
    np.testing.assert_allclose(x[2, 0, 75:], (second[2] + second[3]) / 2, rtol=1e-5)
    np.testing.assert_array_equal(x[0, 0, 75:], second[0])  # not seen in frame 1
    assert not x[1, 0, 75:].any()
    np.testing.assert_array_equal(x[2, 1, :75], one.joints[0, 2].ravel())  # a clip's last frame


def test_a_held_body_stays_where_it_was_seen_last() -> None:
    joints = np.arange(1, 3 * 2 * 5 + 1, dtype=np.float32).reshape(3, 2, 5, 1, 1) * np.ones(
        (25, 3), np.float32
    )
    present = np.array(
        [
            [[1, 0, 0, 1, 0], [0, 0, 1, 0, 1]],
            [[0, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
            [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]],
        ],
        bool,
    )
    clips = Clips.of_clips([Clip(str(at), joints[at], present[at]) for at in range(3)])
    frames = torch.arange(5).repeat(3, 1)
    found = clips.shown_as(Data(hold=True), layout.load("ntu25")).batch(torch.arange(3), frames)
    shown = found.view(5, 3, 2, 75)[..., 0].permute(1, 2, 0)
    expected = [
        [[1, 1, 1, 4, 4], [0, 0, 8, 8, 10]],
        [[0, 12, 13, 13, 13], [16, 17, 18, 19, 20]],
        [[0] * 5, [26] * 5],
    ]
    assert shown.tolist() == expected
    between = clips.shown_as(Data(hold=True), layout.load("ntu25"))
    middle = between.between(torch.tensor([0]), torch.tensor([[1.5, 2.5, 3.5]]))[:, 0, 0]
    assert middle.tolist() == [1, 2.5, 4]


def test_aligned_clips_are_turned_and_scaled_by_their_first_pose(made_set: PreparedSet) -> None:
    joints = layout.load("ntu25")
    clips = Clips.of_set(made_set)
    aligned = clips.shown_as(Data(align=True), joints)
    places = torch.zeros(3, 1, dtype=torch.int64), torch.tensor([3, 40, 17])
    before, after = (one.batch(places[1], places[0]).view(3, 2, 25, 3).numpy() for one in (clips, aligned))
    for old, new in zip(before, after, strict=True):
        turn = normalize.alignment(old[0], joints)
        np.testing.assert_allclose(new, old @ turn.T, atol=1e-5)
    assert np.abs(after - before).max() > 0.05


def test_clips_of_a_set_and_single_clips_give_the_same_batch(made_set: PreparedSet) -> None:
    numbers = np.array([3, 59, 20])
    stored, single = Clips.of_set(made_set), Clips.of_clips([made_set.clip(number) for number in numbers])
    uniform = np.random.default_rng(0).random((3, 21))
    np.testing.assert_array_equal(
        stored.sample(numbers, 20, uniform), single.sample(np.arange(3), 20, uniform)
    )
    assert stored.features == single.features == 150


def test_evaluation_frames_depend_on_the_clip_alone(made_set: PreparedSet) -> None:
    clips = Clips.of_set(made_set)
    together = clips.uniform(np.array([5, 9]), 3, 20, seed=0)
    np.testing.assert_array_equal(together[:, 1], clips.uniform(np.array([9]), 3, 20, seed=0)[:, 0])
    assert (together[:, 0] != together[:, 1]).all()
    assert (together != clips.uniform(np.array([5, 9]), 3, 20, seed=1)).all()


def test_held_clips_give_the_batch_of_mapped_ones(made_set: PreparedSet) -> None:
    mapped, device = Clips.of_set(made_set), torch.device("cpu")
    held = mapped.near(device, "device")
    assert held.rows.data_ptr() != mapped.rows.data_ptr()
    numbers, uniform = np.array([3, 59, 20]), np.random.default_rng(0).random((3, 21))
    assert torch.equal(held.sample(numbers, 20, uniform), mapped.sample(numbers, 20, uniform))
    assert mapped.near(device, "host") is mapped
    assert mapped.near(device) is mapped


@pytest.mark.parametrize("free_bytes", [1, 2, 3])
def test_a_set_is_held_on_a_device_where_half_of_its_free_memory_is_enough(
    made_set: PreparedSet, monkeypatch: pytest.MonkeyPatch, free_bytes: int
) -> None:
    clips = Clips.of_set(made_set)
    assert clips.bytes == clips.rows.shape[0] * 75 * 4
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes * clips.bytes, 0))
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device, copy: self.clone()
    )  # there is no such device
    assert (clips.near(torch.device("cuda:0")) is clips) == (free_bytes < 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_a_device_gives_the_batch_of_the_host(made_set: PreparedSet) -> None:
    mapped = Clips.of_set(made_set)
    held = mapped.near(torch.device("cuda"))
    numbers, uniform = np.arange(60), np.random.default_rng(0).random((60, 21))
    assert held.rows.is_cuda
    assert torch.equal(held.sample(numbers, 20, uniform).cpu(), mapped.sample(numbers, 20, uniform))
