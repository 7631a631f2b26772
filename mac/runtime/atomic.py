"""Files that appear whole or not at all, even if a process reads, writes or is killed at the same time."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # most that write files have no table
    import pandas as pd


def place(path: Path, write: Callable[[Path], Any]) -> None:
    """Have ``write`` fill a temporary file, bring it onto the disk and give it its name; ``path`` has one writer.

    Raises:
        OSError: it can't be written; what was there before is as it was, and nothing else is left.
    """
    _place(path, write, "partial", on_disk=True)


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Do the same without waiting for the disk, for a small file that several processes may write at once.

    Raises:
        OSError: as above.
    """
    _place(path, write, str(os.getpid()), on_disk=False)


def write_text(path: Path, text: str) -> None:
    """Write a small text file that several processes may write at once.

    Raises:
        OSError: as above.
    """
    replace(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs, as :func:`write_text` does: indented, one line end at the end."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table (parquet) that several processes may write at once."""
    replace(path, lambda partial: table.to_parquet(partial, index=False))


def _place(path: Path, write: Callable[[Path], Any], ending: str, on_disk: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{ending}")
    try:
        write(partial)
        os.umask(umask := os.umask(0o077))
        partial.chmod(0o666 & ~umask)  # safetensors makes files that only their owner may read
        if on_disk:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        partial.replace(path)
        if on_disk:
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)  # of its name
            os.close(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
