"""A picture of each augmentation: a clip's sampled frames above, the same frames varied below."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from action_indrnn import augment
from action_indrnn.config import Data
from action_indrnn.data_prep.bodies import MOST_ACTORS
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import normalize
from action_indrnn.dataset import Clips
from action_indrnn.picture import TRACKED, Film, filmstrip

FRAMES = 6
SEED = 0
_Vary = Callable[[Tensor, np.random.Generator], Tensor]


def write(clip: Clip, layout: Layout, folder: Path) -> list[Path]:
    """Write NAME.png for each augmentation into a folder, which is made if there is none; their paths.

    Strengths are such that the eye sees them; the second row's setting is its title.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = Clips.of_clips([normalize(clip, layout)]).shown_as(Data(), layout, "camera")
    joints = len(layout.joints)
    even = torch.linspace(0, clip.present.shape[1] - 1, FRAMES).round().long()
    x = clips.batch(torch.tensor([0]), even[None])
    written = []

    def exchange(x: Tensor, random: np.random.Generator) -> Tensor:
        return clips.exchanged(x, np.array([0]), np.array([True]))

    second = ("exchange", "exchange = 1; the second of two people is the main actor, at the origin", exchange)
    for name, setting, vary in (*_every(layout), second):
        films = [
            _film(x, joints, f"{clip.name}, frames as sampled"),
            _film(vary(x, np.random.default_rng(SEED)), joints, setting),
        ]
        written.append(folder / f"{name}.png")
        filmstrip(films, layout, written[-1], count=FRAMES)
    for name, setting, crop, speed, place in (
        ("crop", "crop = 0.5, a middle half", 0.5, 0.0, (0.0, 0.5, 0.5)),
        ("speed", "speed = 1, the first frames at half speed", 1.0, 1.0, (0.5, 0.5, 0.0)),
    ):
        timing = augment.timing(clips.length, torch.tensor([place], dtype=torch.float64), crop, speed)
        played = even if name == "speed" else even * timing.played // clips.length
        varied = clips.batch(torch.tensor([0]), timing.frames(played[None]))
        films = [_film(x, joints, f"{clip.name}, frames as sampled"), _film(varied, joints, setting)]
        written.append(folder / f"{name}.png")
        filmstrip(films, layout, written[-1], count=FRAMES)
    return written


def _every(layout: Layout) -> list[tuple[str, str, _Vary]]:
    """Name, setting and function of each augmentation of shape."""
    joints = len(layout.joints)
    swapped = augment.mirrored_joints(joints, layout.pairs)

    def uniform(random: np.random.Generator, *shape: int) -> Tensor:
        return torch.from_numpy(random.random(shape))

    def jitter(x: Tensor, random: np.random.Generator) -> Tensor:
        return augment.jitter(x, torch.from_numpy(random.standard_normal(x.shape, np.float32)), 0.03)

    limbs = augment.limbs_of(joints, layout.bones)

    def displace(x: Tensor, random: np.random.Generator) -> Tensor:
        ways = torch.from_numpy(random.standard_normal((1, MOST_ACTORS, joints, 3), np.float32))
        return augment.displace(x, uniform(random, 1, MOST_ACTORS, joints + 1), ways, 1.0, limbs)

    def glitch(x: Tensor, random: np.random.Generator) -> Tensor:
        normal = torch.from_numpy(random.standard_normal((len(x) + 1, 1, MOST_ACTORS, 3), np.float32))
        return augment.glitch(x, uniform(random, 1, MOST_ACTORS, 4), normal, 1.0, limbs)

    return [
        ("rotation", "rotation = 30", lambda x, r: augment.vary(x, uniform(r, 1, 4), 30, 0)),
        ("scaling", "scaling = 0.3", lambda x, r: augment.vary(x, uniform(r, 1, 4), 0, 0.3)),
        ("shear", "shear = 0.4", lambda x, r: augment.shear(x, uniform(r, 1, 6), 0.4)),
        ("mirror", "mirror = 1", lambda x, r: augment.mirror(x, uniform(r, 1), 1.0, swapped)),
        ("noise", "noise = 0.03", jitter),
        (
            "joint_dropout",
            "joint_dropout = 0.2; a dropped joint lies at the origin",
            lambda x, r: augment.drop_joints(x, uniform(r, 1, MOST_ACTORS * joints), 0.2),
        ),
        (
            "displacement",
            "displacement = 1; some joints, with what hangs on them, stand off throughout",
            displace,
        ),
        (
            "glitch",
            "glitch = 1; a lost joint, with what hangs on it, stands elsewhere for a while",
            glitch,
        ),
        (
            "absence",
            "absence = 1; nobody is seen for a while",
            lambda x, r: augment.absence(x, torch.tensor([[0.0, 0.0, 0.3, 0.8]]), 1.0, MOST_ACTORS),
        ),
        (
            "body_dropout",
            "body_dropout = 1",
            lambda x, r: augment.drop_bodies(x, uniform(r, 1, 2), 1.0, MOST_ACTORS),
        ),
    ]


def _film(x: Tensor, joints: int, title: str) -> Film:
    """The film of feature vectors (S, 1, F); a body of nothing but zeros is absent."""
    rows = x[:, 0].view(len(x), MOST_ACTORS, joints, 3).transpose(0, 1).numpy()
    present = (rows != 0).any(axis=(2, 3))
    return Film(title, rows, present, np.full(rows.shape[:3], TRACKED, np.uint8))
