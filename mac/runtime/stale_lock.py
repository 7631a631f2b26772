"""Snakemake's lock on a working folder: is it a running Snakemake's, or was it left behind by one that was killed?

Snakemake's own lock names no process. So the workflow notes which process runs it, and the lock counts as left behind
only if that process is gone. Nothing can be known of a process on another machine (a shared file system) or in another
container.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any

from mac.runtime.atomic import place

OWNER, LOCKS = Path(".snakemake", "owner.json"), Path(".snakemake", "locks")
PROCESSES, BOOT = Path("/proc"), Path("/proc/sys/kernel/random/boot_id")
CONTAINER = Path("/proc/self/ns/pid")


def claim(folder: Path) -> None:
    """Note that this process runs the workflow in a folder."""
    if BOOT.exists():  # elsewhere than on Linux, locks are left to the user
        owner = json.dumps(_identity(os.getpid()))
        place(folder / OWNER, lambda partial: partial.write_text(owner))  # on the disk before the power can fail


def is_left_behind(folder: Path) -> bool:
    """Whether a folder's lock belongs to a process of this machine that is gone, and no other Snakemake works there."""
    if not BOOT.exists() or not any((folder / LOCKS).glob("*")) or not (folder / OWNER).exists():
        return False
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except ValueError:
        return False
    here = _identity(os.getpid())
    is_elsewhere = owner["boot"] == here["boot"] and owner["container"] != here["container"]
    if owner["host"] != here["host"] or is_elsewhere or owner == _identity(owner["pid"]):
        return False
    own = _with_ancestors(os.getpid())  # `make demo` names Snakemake too
    others = (process for process in PROCESSES.glob("[0-9]*") if int(process.name) not in own)
    return not any(_is_snakemake(process, folder) for process in others)


def _identity(pid: int) -> dict[str, Any]:
    """What tells a process of this container from all others, before and after a restart of the machine."""
    boot, facts = BOOT.read_text().strip(), _facts(pid)
    own = {"host": socket.gethostname(), "boot": boot, "container": os.readlink(CONTAINER), "pid": pid}
    return own | {"began": facts[19] if facts else None}


def _facts(pid: int) -> list[str] | None:
    """What Linux says of a process after its command's name: its state, its parent …; None if there is none."""
    try:
        return (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _with_ancestors(pid: int) -> set[int]:
    found = set()
    while pid and pid not in found:
        found.add(pid)
        facts = _facts(pid)
        pid = int(facts[1]) if facts else 0
    return found


def _is_snakemake(process: Path, folder: Path) -> bool:
    try:
        return b"snakemake" in (process / "cmdline").read_bytes() and (process / "cwd").samefile(folder)
    except OSError:  # it has ended, or is another user's
        return False
