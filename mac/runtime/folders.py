"""Folders that results go to."""

import os
from pathlib import Path


class UnwritableError(Exception):
    """A folder can't be made or written; the message names it and the setting to change."""


def check_writable(folder: Path, setting: str) -> None:
    """Refuse a folder that can't be made or written, without making it.

    Raises:
        UnwritableError: naming the folder, what is in the way, and the key in ``config/config.yaml``.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        reason = f"{existing} is a file"
    elif not os.access(existing, os.W_OK | os.X_OK):
        reason = f"no permission to write in {existing.resolve()}"
    else:
        return
    raise UnwritableError(f"{folder}: can't be written, {reason}; change `{setting}` in config/config.yaml")
