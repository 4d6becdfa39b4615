"""Clips as a worse sensor would have recorded them: what a network is worth when joints go astray."""

import zlib
from dataclasses import replace

import numpy as np
import torch

from action_indrnn import augment
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dataset import Clips, Integers


def glitched(clips: Clips, numbers: Integers, layout: Layout, share: float, seed: int = 0) -> Clips:
    """The same clips, some of which have lost a joint of some bodies for a while; see `augment.glitch`.

    It happens in what was recorded, before a clip is placed, turned and sampled. A clip's own numbers follow
    from the seed and its name.

    Args:
        clips: as a prepared set has them.
        numbers: (N,) of which it happens to.
        layout: of their joints.
        share: of the bodies.
        seed: of who loses what.
    """
    rows = clips.rows.clone()
    limbs = augment.limbs_of(len(layout.joints), layout.bones)
    for number in numbers.tolist():
        start, length, bodies = (int(column[number]) for column in (clips.start, clips.length, clips.bodies))
        own = slice(start, start + bodies * length)  # body after body
        frames = clips.rows[own].view(bodies, length, *clips.rows.shape[1:]).transpose(0, 1)  # (T, M, V, 3)
        random = np.random.default_rng([seed, zlib.crc32(clips.names[number].encode())])
        uniform = torch.from_numpy(random.random((1, bodies, 4)))
        normal = torch.from_numpy(random.standard_normal((length + 1, 1, bodies, 3), np.float32))
        found = augment.glitch(frames.reshape(length, 1, -1), uniform, normal, share, limbs)
        rows[own] = found.view(frames.shape).transpose(0, 1).flatten(0, 1)
    return replace(clips, rows=rows)
