"""The journal of a run: one JSON object a line, appended as things happen. All a training ever imports for tracking."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """Writes events; a line is complete or absent.

    Events: ``start`` (what runs where), ``metrics`` (values at an epoch), ``end`` (final metrics). Each has ``time``,
    seconds since 1970.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        self._file.write(json.dumps({"event": event, "time": round(time.time(), 3), **values}) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Read a journal's events; a last line cut short by a crash is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
