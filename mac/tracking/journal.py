"""The journal of a run: one JSON object a line, appended as things happen. Trainings import only this of tracking."""

import json
import os
import time
from pathlib import Path
from typing import Any


class Journal:
    """Writes events; a line is complete or absent.

    Events: ``start`` (what runs where), ``metrics`` (values at an epoch), ``warning`` (its name and details), ``saved``
    (a snapshot covers all before it), ``continued``, ``end`` (final metrics). Each has ``time``, seconds since 1970.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        """Open a journal and cut it back to its first ``keep`` bytes: a continued run writes the rest again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        path.touch()
        self._file = path.open("r+b", buffering=0)
        self._file.truncate(keep)
        self._file.seek(0, os.SEEK_END)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        self._file.write((json.dumps({"event": event, "time": round(time.time(), 3), **values}) + "\n").encode())

    def sync(self) -> int:
        """Bring what was written onto the disk; returns the journal's length in bytes."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Read a journal's events; a last line cut short by a crash is left out."""
    return parse(path.read_bytes())


def parse(content: bytes) -> list[dict[str, Any]]:
    """Likewise of a journal's content."""
    lines = content.decode("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def read_final(path: Path) -> list[dict[str, Any]]:
    """Read those events of a running training's journal that no crash can take back."""
    events = read(path)
    last = max((i for i, event in enumerate(events) if event["event"] in ("saved", "continued")), default=-1)
    return events[: last + 1]
