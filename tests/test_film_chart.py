import re

import numpy as np
import pytest

from action_indrnn import film_chart
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.clip import Clip

from .conftest import person

NTU = layout.load("ntu25")


def test_frames_are_spread_over_those_with_somebody() -> None:
    present = np.ones(31, np.bool_)
    present[15] = False
    assert film_chart.spread(present, 3) in ([0, 14, 30], [0, 16, 30])
    assert film_chart.spread(present, 3, must=20) == [0, 20, 30]
    assert film_chart.spread(present[:2], 7) == [0, 1]


@pytest.mark.parametrize("bodies", [1, 2])
def test_a_strip_draws_whoever_is_there(bodies: int) -> None:
    frames = [np.stack([person(0.01 * frame + body) for frame in range(20)]) for body in range(bodies)]
    joints = np.stack(frames).astype(np.float32)
    present = np.ones((bodies, 20), np.bool_)
    present[-1, 10:] = False
    joints[~present] = 0
    found = film_chart.strip("A <title>", Clip("x", joints, present), NTU, mark=3)
    shown = [int(number) - 1 for number in re.findall(r">(\d+)</text>", found)]
    assert 3 in shown
    assert shown == sorted(shown)
    assert found.count('class="peak"') == 1
    drawn = len(shown) + (0 if bodies == 1 else sum(frame < 10 for frame in shown))
    assert found.count("<circle") == drawn
    assert found.count('class="left') == found.count('class="right') == drawn
    assert 'aria-label="A &lt;title&gt;"' in found
    assert "nan" not in found
