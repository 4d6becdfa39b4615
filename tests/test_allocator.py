"""Memory that a training step frees is there for the next one."""

import os
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


# What glibc begins with; it then learns from what is freed, and may come to keep memory by itself.
SMALL = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


@pytest.mark.skipif(sys.platform != "linux", reason="another system's heap")
def test_no_page_comes_anew_from_the_system() -> None:
    faults = {}
    for how in ("keep", "default"):
        command = [sys.executable, "-c", STEPS, how]
        done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, **SMALL})
        faults[how] = int(done.stdout)
    assert faults["keep"] < 100 < 250 < faults["default"], faults  # 300 tensors, of a huge page each at least
