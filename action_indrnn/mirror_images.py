"""Of which class a clip's mirror image is.

Shapes: S sampled frames, N clips, F features, K classes.
"""

import re
from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn import augment
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dataset import Clips, Integers
from action_indrnn.facing import Facing

Floats = NDArray[np.float32]
NONE = -1  # of a class that has no mirror images
_WORDS = re.compile(r"Left|Right|[LR](?=[a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_OPPOSITE = {"left": "right", "l": "r", "clockwise": "counterclockwise"}
_OPPOSITE |= {other: one for one, other in _OPPOSITE.items()}
_AGAINST_THE_CLOCK = re.compile(r"(counter|anti)[\W_]*clockwise", re.IGNORECASE)
_CLIPS = 32  # of a class are compared, at most
_FRAMES = 16
_MOST = 0.5  # of each class's mirror images, at least, lie nearer to the other class than to their own;
_NEARER = 0.95  # both together at most so many times as far from the other's as from their own's,
_LIKE = 1.6  # and at most so many times as far as clips from others of their class


def classes_by_name(names: Sequence[str], taught: Collection[int]) -> list[int]:
    """The class that each class's mirror image is of: K numbers.

    That of the name with left and right, L and R as words of a longer name, and clockwise and
    counter-clockwise exchanged: the mirror image of somebody who swipes to the left with the right hand
    swipes to the right with the left one. Without such a class it is the class itself.

    Args:
        names: of the K classes.
        taught: those that have training clips; no mirror image is of another.
    """
    words = [
        tuple(word.lower() for word in _WORDS.findall(_AGAINST_THE_CLOCK.sub("counterclockwise", name)))
        for name in names
    ]
    number = {words[at]: at for at in taught if words[at]}

    def image(own: tuple[str, ...]) -> tuple[str, ...]:
        # A name of one letter is a letter: L is no mirror image of R.
        return tuple(_OPPOSITE.get(word, word) if len(own) > 1 or len(word) > 1 else word for word in own)

    images = [image(own) for own in words]
    return [
        number.get(images[at], at) if at in taught and images[at] != own else at
        for at, own in enumerate(words)
    ]


def classes_of(
    clips: Clips, labels: Integers, numbers: Integers, layout: Layout, names: Sequence[str]
) -> list[int]:
    """The class that each class's mirror image is of: K numbers, `NONE` where there shall be none.

    By name, see `classes_by_name`; of the other classes each is its own image, but for those which `opposed`
    finds: they have none.

    Args:
        clips: of a set.
        labels: of all of them.
        numbers: those to learn from.
        layout: of the joints, which has pairs.
        names: of the K classes.
    """
    chosen = [
        own[np.linspace(0, len(own) - 1, min(len(own), _CLIPS)).round().astype(int)]
        for own in (numbers[labels[numbers] == label] for label in np.unique(labels[numbers]))
    ]
    some = np.concatenate(chosen)
    of = classes_by_name(names, set(labels[some].tolist()))
    x = clips.sample(some, _FRAMES, np.full((len(some), _FRAMES + 1), 0.5), "whole")
    alone = opposed(x, labels[some], layout)
    return [NONE if image == label and label in alone else image for label, image in enumerate(of)]


def opposed(x: Tensor, labels: Integers, layout: Layout) -> set[int]:
    """The classes whose mirror images look like clips of another class, and those others.

    A set may have what one side does and what the other does as two classes, under names that do not tell.
    Then mirror images of the one would be taught as what clips of the other are not.

    Two clips are as far apart as their poses, each seen from where the main actor stands at first and turned
    as `facing.Facing` does; a clip is as far from a class as from the nearest other clip of it, a class as
    the median of its clips. Each of two classes has to look like the other's mirror images, so that no class
    that is near to all makes a pair; and a third one's clip that is nearest by chance, where people differ by
    more than classes, hides none. A class of one clip tells nothing.

    Args:
        x: (S, N, F) clips, in even steps.
        labels: (N,).
        layout: of the joints, which has pairs.
    """
    swapped = augment.mirrored_joints(len(layout.joints), layout.pairs).to(x.device)
    shown = _poses(x, layout)
    images = _poses(augment.mirror(x, x.new_zeros(x.shape[1]), 1.0, swapped), layout)
    classes, counts = np.unique(labels, return_counts=True)
    classes = classes[counts > 1]
    if len(classes) < 2:
        return set()
    members = [np.flatnonzero(labels == label) for label in classes]
    among, across = (_to_classes(seen, shown, members) for seen in (shown, images))  # (N, K)
    within = [np.median(among[rows, at]) for at, rows in enumerate(members)]
    far = [np.median(across[rows], axis=0) for rows in members]  # K by K
    nearer = [(across[rows] < across[rows, at, None]).mean(axis=0) for at, rows in enumerate(members)]

    def are(one: int, other: int) -> bool:
        apart = far[one][other] + far[other][one]
        return bool(
            min(nearer[one][other], nearer[other][one]) >= _MOST
            and apart <= _NEARER * (far[one][one] + far[other][other])
            and apart <= _LIKE * (within[one] + within[other])
        )

    pairs = [pair for pair in combinations(range(len(classes)), 2) if are(*pair)]
    return {int(classes[at]) for pair in pairs for at in pair}


def _poses(x: Tensor, layout: Layout) -> Tensor:
    """(N, S F) the poses of clips (S, N, F)."""
    if layout.across:
        x, _ = Facing(len(layout.joints), layout.across).to(x.device)(x)
    points = x.view(*x.shape[:2], -1, 3)
    there = (points != 0).any(dim=3, keepdim=True)
    return ((points - points[:1, :, layout.centre, None]) * there).transpose(0, 1).flatten(1)


def _to_classes(seen: Tensor, clips: Tensor, members: Sequence[Integers]) -> Floats:
    """(N, K) how far each of N clips, or its image, is from the nearest other clip of each class."""
    distances = torch.cdist(seen, clips).fill_diagonal_(torch.inf)
    return np.stack([distances[:, rows].amin(dim=1).cpu().numpy() for rows in members], axis=1)
