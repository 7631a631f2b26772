"""Which Python packages a run computed with: those of the lock, `constraints.txt`, or which others. No torch."""

import hashlib
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / "constraints.txt"
_NAMED = 3  # how many packages are named that differ


def locked(lock: Path = LOCK) -> dict[str, set[str]]:
    """Read a lock: by package its versions, of which a Python version or a system may have each its own."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split(";")[0].strip().split("==")
            found.setdefault(name, set()).add(version)
    return found


def describe(lock: Path = LOCK) -> str:
    """Say which lock the installed packages are from, e.g. ``3f2a9c1b04`` or ``3f2a9c1b04 except torch 2.11.0``.

    Returns:
        The first ten hex digits of the lock's SHA-256, and the installed packages that have another version than it
        names. A build's mark (``+cpu``) is not compared. ``unknown`` where there is no lock, outside a checkout.
    """
    if not lock.is_file():
        return "unknown"
    others = []
    for name, versions in locked(lock).items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if installed.split("+")[0] not in versions:
            others.append(f"{name} {installed}")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:10]
    more = [f"{len(others) - _NAMED} more"] if len(others) > _NAMED else []
    return f"{digest} except {', '.join(others[:_NAMED] + more)}" if others else digest
