from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from action_indrnn import augment, config
from action_indrnn.batches import Batches
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips, Integers

VARIED = ("data.rotation=20", "data.scaling=0.1")


def batches(
    prepared: PreparedSet, *overrides: str, clips: int = 30, joints: layout.Layout | None = None
) -> Batches:
    settings = config.load("residual", ("train.batch=8", *overrides))
    numbers = np.arange(10, 10 + clips)
    clips, joints = Clips.of_set(prepared), joints or layout.load("ntu25")
    return Batches(settings, clips, prepared.column("label"), numbers, torch.device("cpu"), joints)


def test_an_epoch_has_every_clip_at_most_once(made_set: PreparedSet) -> None:
    some = batches(made_set)
    assert (some.size, some.steps) == (8, 3)
    first, second = some.of(0), some.of(1)
    assert first.shape == (3, 8)
    assert len(set(first.flatten())) == 24
    assert set(first.flatten()) < set(range(10, 40))
    assert (first != second).any()
    np.testing.assert_array_equal(batches(made_set).of(1), second)
    few = batches(made_set, clips=5)
    assert (few.size, few.steps) == (5, 1)


def test_parts_are_the_clips_of_the_batch_in_turn(made_set: PreparedSet) -> None:
    whole = batches(made_set, *VARIED)
    numbers = whole.of(0)[0]
    ((x, labels),) = whole.parts(numbers, 3)
    assert x.shape == (20, 8, 150)
    np.testing.assert_array_equal(labels, made_set.column("label")[numbers])
    found = list(batches(made_set, *VARIED, "train.accumulate=4").parts(numbers, 3))
    assert [len(part) for _, part in found] == [2] * 4
    torch.testing.assert_close(torch.cat([part for part, _ in found], dim=1), x)
    assert torch.equal(torch.cat([part for _, part in found]), labels)


def test_clips_are_varied_where_asked_for_and_differ_from_step_to_step(
    made_set: PreparedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = batches(made_set).of(0)[0]
    ((plain, _),) = batches(made_set).parts(numbers, 3)
    ((other, _),) = batches(made_set).parts(numbers, 4)
    ((turned, _),) = batches(made_set, *VARIED).parts(numbers, 3)
    assert (plain != other).any()
    assert (turned - plain).abs().max() > 0.01
    seen = {}
    vary = augment.vary
    monkeypatch.setattr(
        augment, "vary", lambda x, uniform, *how: seen.update(x=x, how=how) or vary(x, uniform, *how)
    )
    ((again, _),) = batches(made_set, *VARIED).parts(numbers, 3)
    assert torch.equal(again, turned)
    assert torch.equal(seen["x"], plain)
    assert seen["how"] == (20, 0.1)


def test_torch_s_random_numbers_follow_from_the_step(made_set: PreparedSet) -> None:
    some = batches(made_set)
    drawn = []
    for step in (3, 4, 3):
        next(some.parts(some.of(0)[0], step))
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[2] != drawn[1]


def test_another_seed_gives_other_orders_frames_variations_and_dropout(made_set: PreparedSet) -> None:
    numbers = batches(made_set).of(0)[0]
    orders, frames, sizes, drawn = [], [], [], []
    for seed in (0, 1, 0):
        some, turned = (batches(made_set, f"train.seed={seed}", *more) for more in ((), VARIED))
        orders.append(some.of(0).tolist())
        ((x, _),), ((y, _),) = some.parts(numbers, 3), turned.parts(numbers, 3)
        frames.append(x.tolist())
        sizes.append((y.norm(dim=(0, 2)) / x.norm(dim=(0, 2))).tolist())  # what each clip was scaled by
        drawn.append(torch.rand(1).item())
    assert sizes[0] != pytest.approx(sizes[1], abs=1e-3)
    for what in (orders, frames, sizes, drawn):
        assert what[0] == what[2] != what[1]


def test_batches_that_cannot_be_shared_are_refused(made_set: PreparedSet) -> None:
    with pytest.raises(ValueError, match=r"train\.batch x data\.frames: .* at least 2, found 1"):
        batches(made_set, "train.batch=1", "data.frames=1")
    with pytest.raises(ValueError, match="at least 2, found 1"):
        batches(made_set, "train.accumulate=8", "data.frames=1")
    with pytest.raises(ValueError, match="expected a multiple of 4 parts x 1 processes, found 30"):
        batches(made_set, "train.batch=64", "train.accumulate=4")


MORE = {
    "shear": 0.3,
    "mirror": 0.5,
    "crop": 0.5,
    "speed": 0.5,
    "noise": 0.01,
    "joint_dropout": 0.2,
    "glitch": 0.5,
    "graft": 0.9,
    "displacement": 0.9,
    "absence": 0.9,
    "body_dropout": 0.9,
    "exchange": 0.9,
    "splice": 0.9,
}


@pytest.mark.parametrize("name", MORE)
def test_every_augmentation_is_the_same_however_a_batch_is_divided(made_set: PreparedSet, name: str) -> None:
    def part(*overrides: str) -> torch.Tensor:
        settings = config.load("residual", ("train.batch=24", *overrides))
        joints = layout.load("ntu25")
        clips = Clips.of_set(made_set).shown_as(settings.data, joints, "camera")
        labels, numbers = made_set.column("label"), np.arange(36, 60)  # with clips of two bodies
        some = Batches(settings, clips, labels, numbers, torch.device("cpu"), joints)
        return torch.cat([x for x, _ in some.parts(numbers, 3)], dim=1)

    plain, varied = part(), part(f"data.{name}={MORE[name]}")
    assert varied.shape == plain.shape
    assert (varied != plain).any()
    torch.testing.assert_close(part(f"data.{name}={MORE[name]}", "train.accumulate=4"), varied)


def test_every_frame_needs_pieces(made_set: PreparedSet) -> None:
    with pytest.raises(
        ValueError, match=r"'every': expected untrimmed recordings to learn from, found clips"
    ):
        batches(made_set, "model.memory=50", "data.sampling=every")


def test_limbs_come_from_clips_of_the_class(made_set: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    some = batches(made_set, "data.graft=1")
    asked = []
    sampled = some._sampled

    def record(numbers: Integers, *how: Any) -> torch.Tensor:
        asked.append(numbers)
        return sampled(numbers, *how)

    monkeypatch.setattr(some, "_sampled", record)
    for step, numbers in enumerate(some.of(0)):
        list(some.parts(numbers, step))
    clips, others = (np.concatenate(asked[at::2]) for at in (0, 1))
    np.testing.assert_array_equal(some.labels[others], some.labels[clips])
    assert (others != clips).any()
    assert set(others) <= set(range(10, 40))


def test_grafts_need_limbs(made_set: PreparedSet) -> None:
    joints = layout.load("ntu25")
    chain = tuple((joint, joint - 1) for joint in range(1, 25))
    with pytest.raises(ValueError, match=r"data\.graft: expected a joint layout with limbs, found none"):
        batches(made_set, "data.graft=0.5", joints=replace(joints, bones=chain))


def test_where_no_joints_are_pairs_nothing_is_mirrored(made_set: PreparedSet) -> None:
    hand = replace(layout.load("ntu25"), pairs=())
    plain, mirrored = (batches(made_set, *chosen, joints=hand) for chosen in ((), ("data.mirror=0.5",)))
    numbers = plain.of(0)[0]
    for one, other in zip(plain.parts(numbers, 0), mirrored.parts(numbers, 0), strict=True):
        assert torch.equal(one[0], other[0])


def test_mirror_images_are_of_the_class_of_the_other_side(made_set: PreparedSet) -> None:
    names = [f"wave {side}" for side in ("left", "right")] + ["bow"] * 12
    settings = config.load("residual", ("train.batch=24", "data.mirror=0.5"))
    clips, joints = Clips.of_set(made_set), layout.load("ntu25")
    labels = np.arange(len(clips.names)) % 3
    numbers = np.arange(24)

    def part(*classes: str) -> tuple[torch.Tensor, torch.Tensor]:
        some = Batches(settings, clips, labels, numbers, torch.device("cpu"), joints, classes=classes)
        return next(iter(some.parts(numbers, 0)))

    (x, own), (same, found) = part(), part(*names)
    assert torch.equal(x, same)
    mirrored = own != found
    assert own.tolist() == labels[numbers].tolist()
    assert set(zip(own[mirrored].tolist(), found[mirrored].tolist(), strict=True)) == {(0, 1), (1, 0)}
    plain = Batches(
        config.load("residual", ("train.batch=24",)), clips, labels, numbers, torch.device("cpu"), joints
    )
    unlike = (next(iter(plain.parts(numbers, 0)))[0] != x).flatten(2).any(dim=2).any(dim=0)
    assert torch.equal(unlike & (own < 2), mirrored)
