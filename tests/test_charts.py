import math
import re

import numpy as np
import pytest

from action_indrnn import charts


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 120, [50, 100]), (-0.3, 0.2, [-0.3, -0.2, -0.1, 0, 0.1, 0.2])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == expected


def test_lines_leave_out_what_is_no_number() -> None:
    found = charts.lines(
        "A title", {"a": [([1, 2, 3], [0.5, math.nan, 1.0])]}, x_label="x", y_label="y", percent=True, low=0
    )
    (points,) = re.findall(r'points="([^"]*)"', found)
    assert len(points.split()) == 2
    assert 'aria-label="A title"' in found
    assert "100%" in found


def test_no_numbers_no_chart() -> None:
    found = charts.lines("Nothing", {"a": [([1], [math.nan])]}, x_label="x", y_label="y")
    assert found == "<p>Nothing: no numbers.</p>"


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    found = charts.lines("t", {"a": [([1, 2], [2e-4, 2e-6])]}, x_label="x", y_label="y", log=True)
    assert re.findall(r">(1e-\d)<", found) == ["1e-6", "1e-5", "1e-4", "1e-3"]


def test_memory_bins_by_length_and_sign() -> None:
    u = np.array([0.0, 0.5, -0.5, 0.9, 0.9, 0.995, 1.0, 1.08, -1.02])
    above, below = charts.memory_bins(u)
    assert above.sum() == 7
    assert below.sum() == 2
    assert (above[0], above[3], above[-1], above[-2]) == (1, 1, 2, 1)  # 1 step, 2 steps, forever, 200 steps
    assert above[9] + above[10] == 2  # 10 steps
    assert (below[3], below[-1]) == (1, 1)


def test_a_memory_histogram_has_a_bar_for_each_bin_that_holds_units() -> None:
    u = np.array([0.0, 0.5, -0.5, 1.0])
    found = charts.memory_histogram("t", u, seconds=0.1, most=charts.memory_bins(u).max(axis=1))
    assert re.findall(r'class="(fades|forever|negative)"', found) == ["fades", "fades", "negative", "forever"]
    assert "2 s" in found
    assert "10 s" in found


def test_a_response_of_many_steps_has_a_bar_for_each() -> None:
    drawn = str(charts.response("of 600 frames", np.ones(600), np.ones(600)))
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([^"]+)"', drawn)]
    assert len(widths) == 600
    assert min(widths) > 0
