import re

import numpy as np

from action_indrnn import confusion, matrix_chart


def test_every_cell_that_holds_clips_is_drawn_once() -> None:
    random = np.random.default_rng(0)
    matrix = random.integers(0, 3, (120, 120)) * (random.random((120, 120)) < 0.3) + np.diag([200] * 120)
    order = confusion.order(matrix)
    found = matrix_chart.matrix("A matrix", matrix, [f"class {n}" for n in range(120)], order, "alike")
    paths = {kind: "".join(re.findall(rf'd="([^"]*)" class="{kind} ', found)) for kind in ("right", "wrong")}
    assert paths["right"].count("M") == 120
    assert paths["wrong"].count("M") == np.count_nonzero(confusion.errors(matrix))
    assert found.count("<path") <= 2 * len(matrix_chart.LEVELS) + 1
    assert len(found) < 150_000


def test_cells_stand_where_the_order_says() -> None:
    matrix = np.array([[3, 1], [0, 4]])
    found = matrix_chart.matrix("A matrix", matrix, ["a<", "b"], [1, 0], "x")
    size, margin = (float(re.search(rf'data-{key}="([\d.]+)"', found)[1]) for key in ("cell", "margin"))
    (wrong,) = re.findall(r'd="M([\d.]+) ([\d.]+)[^"]*" class="wrong l4"', found)  # a quarter of a's clips
    column, row = ((float(value) - margin) / size for value in wrong)
    np.testing.assert_allclose((row, column), (1, 0), atol=0.01)
    assert 'data-order="1 0"' in found
    assert "a&lt; 1" in found
