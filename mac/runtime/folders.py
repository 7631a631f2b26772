"""The user's folders: where data lie, and where results go."""

import os
from pathlib import Path

from mac.config import DatasetConfig


class UnwritableError(Exception):
    """A folder can't be made or written; the message names it and the setting to change."""


def dataset_root(data_root: Path, dataset: DatasetConfig) -> Path:
    """Find a data set's folder: drawn by us, the user's own copy of a subset where there is one, or the whole set."""
    if dataset.synthetic:
        return data_root / "synthetic" / dataset.identify()
    own = data_root / dataset.subset if dataset.subset else None
    return own if own and own.is_dir() else data_root / dataset.name


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
