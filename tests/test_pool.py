import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from action_indrnn.data_prep import pool


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes: int) -> None:
    tasks = [10**4000, 4, 10**3000, 9] * 8  # of very different length
    assert list(pool.ordered_map(math.isqrt, tasks, processes)) == [10**2000, 2, 10**1500, 3] * 8


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_reaches_the_caller(processes: int) -> None:
    with pytest.raises(ValueError, match="must be nonnegative"):
        list(pool.ordered_map(math.isqrt, [*range(20), -1, *range(20)], processes))


def test_ctrl_c_ends_all_processes_without_a_traceback_from_them(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from action_indrnn.data_prep import pool\n"
        "def work(number):\n"
        "    time.sleep(0.05)\n"
        "    return number\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        for number in pool.ordered_map(work, range(200), 2):\n"
        "            if number == 3: os.killpg(0, signal.SIGINT)  # as a terminal sends it\n"
        "    except KeyboardInterrupt: sys.exit(7)\n"
    )
    found = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, start_new_session=True, timeout=60
    )
    assert (found.returncode, found.stderr) == (7, "")


def test_a_killed_process_is_one_line() -> None:
    for work in (pool.ordered_map, pool.finished_first):
        with pytest.raises(OSError, match="a process was killed"):
            list(work(os._exit, [1, 1, 1], 2))


def test_what_is_finished_first_comes_first() -> None:
    assert list(pool.finished_first(math.isqrt, [9, 16], 1)) == [(9, 3), (16, 4)]
    slow = iter(pool.finished_first(time.sleep, [2.0, 0.0, 0.01, 0.02], 2))
    assert [task for task, _ in slow] == [0.0, 0.01, 0.02, 2.0]


def test_a_task_is_taken_when_a_process_is_free_for_it() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    found = pool.finished_first(math.isqrt, tasks(), 2)
    for done in range(1, 4):
        next(found)
        assert len(taken) <= done + 2
    found.close()
    assert len(taken) < 6


def test_an_error_of_one_that_is_finished_first_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="must be nonnegative"):
        list(pool.finished_first(math.isqrt, [1, -1, 2], 2))
