"""Memory that a training step frees is there for the next one."""

import subprocess
import sys

import pytest

STEPS = """
import resource, sys, torch
from action_indrnn import allocator

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert allocator.keep_freed_memory()

def step():
    held = [torch.ones(4 << 18) for _ in range(30)]  # 4 MB each, freed together

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another system's heap")
def test_no_page_comes_anew_from_the_system() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", STEPS, how], capture_output=True, check=True).stdout)
        for how in ("keep", "default")
    }
    assert faults["keep"] < 300 < 3000 < faults["default"], faults
