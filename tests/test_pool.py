import subprocess
import sys
import time
from pathlib import Path

import pytest

from action_indrnn.data_prep import pool


def double(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    if number == 1000:
        raise ValueError("expected another number")
    return 2 * number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes: int) -> None:
    assert list(pool.ordered_map(double, range(30), processes)) == list(range(0, 60, 2))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_reaches_the_caller(processes: int) -> None:
    with pytest.raises(ValueError, match="expected another number"):
        list(pool.ordered_map(double, [*range(20), 1000, *range(20)], processes))


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
