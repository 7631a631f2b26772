"""A process ends with its status even where the interpreter could not be taken apart."""

import subprocess
import sys

import pytest

# An object of a module outlives main and is destroyed while the interpreter ends: here it would wait for ever.
PROGRAM = """
import atexit, sys, time
from mac.runtime.signals import end_with

class Stuck:
    def __del__(self):
        time.sleep(3600)

stuck = Stuck()
atexit.register(print, "registered")

def main():
    print("said")
    {end}

end_with(main)
"""


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [
        ("pass", 0, ""),
        ("sys.exit(75)", 75, ""),
        ("sys.exit('a message')", 1, "a message\n"),
        ("raise KeyError('a defect')", 1, "KeyError: 'a defect'\n"),
    ],
)
def test_it_ends_with_its_status_and_says_what_it_said(end, status, message):
    program = [sys.executable, "-c", PROGRAM.format(end=end)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert ended.returncode == status
    assert ended.stdout == "said\nregistered\n"
    assert ended.stderr.endswith(message)
    assert bool(ended.stderr) == bool(message)


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["no-such-command"], 2)])
def test_every_command_ends_so(words, status):
    program = PROGRAM.partition("atexit.register")[0] + "from mac.cli import start\nstart()"
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    assert ended.returncode == status, ended.stderr
