"""Memory a step frees is there for the next one without the system's help."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from mac.training.processor import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24).add(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
keep_freed_memory()
print(given_back, min(faults() for _ in range(12)))  # the first ones give the heap its shape
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc: memory is left to the system's allocator")
def test_a_repeated_step_takes_no_new_pages():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert kept < 100 < given_back
