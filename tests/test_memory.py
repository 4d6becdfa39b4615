import numpy as np
import pytest
import torch

from action_indrnn import memory
from action_indrnn.layers import IndRNN


def test_lengths_and_half_lives() -> None:
    u = np.array([0.0, 0.5, -0.5, 0.9, 1.0, -1.2])
    np.testing.assert_allclose(memory.lengths(u), [1, 2, 2, 10, np.inf, np.inf])
    np.testing.assert_allclose(memory.half_lives(u)[[0, 1, 2, 4, 5]], [0, 1, 1, np.inf, np.inf])


def test_a_layer_s_memory() -> None:
    layer = IndRNN(10, length=20)
    with torch.no_grad():
        layer.u.copy_(torch.tensor([0.5] * 5 + [-0.75] * 3 + [layer.bound] * 2))
    found = memory.layer_memory(layer)
    assert (found["memory_10"], found["memory_50"], found["memory_90"]) == (2, 2, np.inf)
    assert found["half_life_50"] == pytest.approx(1)
    assert (found["at_bound"], found["beyond_1"], found["negative"]) == (0.2, 0.2, 0.3)
