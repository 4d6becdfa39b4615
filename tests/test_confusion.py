import math
from itertools import pairwise

import numpy as np
import pytest

from action_indrnn import confusion

MATRIX = np.array([[6, 0, 4, 0], [0, 5, 0, 0], [1, 0, 3, 0], [0, 0, 0, 0]])


def test_a_row_for_each_class() -> None:
    first, second, third, none = confusion.class_rows(MATRIX)
    assert (first.clips, first.recall, first.taken_for, first.taken) == (10, 0.6, 2, 4)
    assert first.precision == pytest.approx(6 / 7)
    assert first.f1 == pytest.approx(2 / (1 / 0.6 + 7 / 6))
    assert (second.recall, second.precision, second.f1, second.taken_for) == (1, 1, 1, None)
    assert (third.taken_for, third.taken) == (0, 1)
    assert none.clips == 0
    assert all(math.isnan(value) for value in (none.recall, none.precision, none.f1))


def test_the_most_confused_pairs_first() -> None:
    assert confusion.pairs(MATRIX, 5) == [(0, 2, 4), (2, 0, 1)]
    assert confusion.pairs(np.eye(3, dtype=np.int64), 5) == []


def test_shares_are_of_a_class_s_clips() -> None:
    found = confusion.shares(MATRIX)
    np.testing.assert_allclose(found.sum(axis=1), [1, 1, 1, 0])
    assert found[0, 2] == 0.4


def test_classes_taken_for_one_another_stand_side_by_side() -> None:
    assert confusion.order(MATRIX)[:2] == [0, 2]
    chain = [3, 0, 5, 2, 4, 1]  # each is taken for the next, the nearer to the middle the more
    matrix = np.diag([100] * 6)
    for place, (a, b) in enumerate(pairwise(chain)):
        matrix[a, b] = 10 + place
    found = confusion.order(matrix)
    places = {label: place for place, label in enumerate(found)}
    assert sorted(found) == list(range(6))
    assert sum(abs(places[a] - places[b]) for a, b in pairwise(chain)) == 5


def test_without_errors_the_order_stays() -> None:
    assert confusion.order(np.eye(7, dtype=np.int64)) == list(range(7))
