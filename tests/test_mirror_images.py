from dataclasses import replace

import numpy as np
import pytest
import torch

from action_indrnn import augment, config, mirror_images
from action_indrnn.batches import Batches
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips

LAYOUT = layout.load("ntu25")
NAMED = {
    ("swipe left", "swipe right", "clap"): [1, 0, 2],
    ("kickLFront1", "kickRFront1", "kickLSide", "kickRFront2"): [1, 0, 2, 3],
    ("draw circle clockwise", "draw circle counter-clockwise"): [1, 0],
    ("Anti-clockwise turn", "clockwise_turn", "clockwise turn of a wheel"): [1, 0, 2],
    ("walk2StepsLstart", "walk2StepsRstart", "Run", "Lift", "turnRight", "turnLeft"): [1, 0, 2, 3, 5, 4],
    ("wave-1", "wave 1", "wave_1"): [0, 1, 2],
    ("l", "r", "right"): [0, 1, 2],  # letters of a hand alphabet
    ("left", "right", "leftover"): [1, 0, 2],
    ("left to right", "right to left", "right right"): [1, 0, 2],
    ("001", "002", ""): [0, 1, 2],
    ("\u5de6", "pull_R", "pull_L", "drawL"): [0, 2, 1, 3],
}


@pytest.mark.parametrize("names", NAMED)
def test_a_mirror_image_is_of_the_class_of_the_other_side(names: tuple[str, ...]) -> None:
    assert mirror_images.classes_by_name(names, range(len(names))) == NAMED[names]


def test_a_mirror_image_is_of_no_class_that_nobody_taught() -> None:
    names = ("swipe left", "swipe right", "bend left", "bend right")
    assert mirror_images.classes_by_name(names, {1, 2, 3}) == [0, 1, 3, 2]


def of_both_sides(prepared: PreparedSet) -> tuple[Clips, np.ndarray]:
    """The made clips and, as classes of their own, mirror images of every second one of each class."""
    clips = Clips.of_set(prepared)
    labels = prepared.column("label")
    swapped = augment.mirrored_joints(25, LAYOUT.pairs)
    rows = clips.rows.clone()
    for label in range(14):
        for number in np.flatnonzero(labels == label)[::2]:
            start, length, bodies = (int(c[number]) for c in (clips.start, clips.length, clips.bodies))
            span = slice(start, start + bodies * length)
            rows[span] = clips.rows[span][:, swapped] * torch.tensor([-1.0, 1, 1])
            labels[number] += 14
    return replace(clips, rows=rows), labels


def test_classes_that_are_mirror_images_of_each_other_have_none(made_set: PreparedSet) -> None:
    def found(clips: Clips, labels: np.ndarray, *names: str) -> list[int]:
        shown = clips.shown_as(config.load("live").data, LAYOUT)
        names = (*names, *[""] * (28 - len(names)))
        return mirror_images.classes_of(shown, labels, np.arange(len(labels)), LAYOUT, names)

    every = list(range(28))
    assert found(Clips.of_set(made_set), made_set.column("label")) == every
    both = of_both_sides(made_set)
    one_sided = (0, 1, 2, 3, 13)  # raise an arm, lower it, wave, hold a hand up, step apart
    expected = [mirror_images.NONE if label % 14 in one_sided else label for label in every]
    assert found(*both) == expected
    names = ["wave L" if label == 2 else "wave R" if label == 16 else "" for label in every]
    expected[2], expected[16] = 16, 2  # the names tell
    assert found(*both, *names) == expected


def test_one_clip_of_each_class_tells_nothing() -> None:
    x = torch.randn(16, 3, 75)
    assert mirror_images.opposed(x, np.arange(3), LAYOUT) == set()


def test_a_batch_has_no_mirror_images_of_such_classes(made_set: PreparedSet) -> None:
    clips, labels = of_both_sides(made_set)
    clips = clips.shown_as(config.load("live").data, LAYOUT)
    numbers = np.arange(len(labels))

    def part(share: float) -> tuple[torch.Tensor, torch.Tensor]:
        settings = config.load("residual", (f"train.batch={len(numbers)}", f"data.mirror={share}"))
        classes = [""] * 28
        some = Batches(settings, clips, labels, numbers, torch.device("cpu"), LAYOUT, classes=classes)
        return next(iter(some.parts(numbers, 0)))

    (x, own), (mirrored, same) = part(0), part(1)
    assert torch.equal(own, same)
    unlike = (x != mirrored).flatten(2).any(dim=2).any(dim=0)
    assert set(own[~unlike].tolist()) == {label for label in range(28) if label % 14 in (0, 1, 2, 3, 13)}


@pytest.mark.parametrize("seed", [0, 2])
def test_people_who_differ_hide_no_pair(seed: int) -> None:
    # One hand rises, or the other, or none; bodies differ by more, and those who stand still are many.
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), (4, 4, 32))
    body = random.normal(0, 0.3, (25, 3))
    for left, right in LAYOUT.pairs:
        body[right] = body[left] * [-1, 1, 1]
    body[list(set(range(25)) - {joint for pair in LAYOUT.pairs for joint in pair}), 0] = 0
    x = np.tile(body * random.normal(1, 0.3, (len(labels), 1, 3)), (16, 1, 1, 1))
    for label, hand in enumerate(("left hand", "right hand")):
        x[:, labels == label, LAYOUT.joints.index(hand), 1] += np.linspace(0, 0.5, 16)[:, None]
    clips = torch.tensor(x, dtype=torch.float32).flatten(2)
    assert mirror_images.opposed(clips, labels, LAYOUT) == {0, 1}
