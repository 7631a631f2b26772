"""Snapshots of a running training: two generations, each with its checksum, so that a torn file costs nothing."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from mac.runtime.atomic import place
from mac.training.checkpoint import CheckpointError
from mac.training.packing import pack, unpack

NAMES = ("a.snapshot", "b.snapshot")
DIGEST = 32  # bytes of the SHA-256 that a file begins with


class Snapshots:
    """The last two states of one run, in a folder of its own; the older one gives way to the next."""

    def __init__(self, folder: Path, run: str) -> None:
        """Keep the states of ``run`` (its id) in ``folder``."""
        self.folder, self.run = folder, run
        self._generation = 0

    def save(self, state: dict[str, Any]) -> None:
        """Write a state: complete under its name, on the disk, or not at all.

        Raises:
            OSError: it can't be written (a full disk); the states before it are as they were.
        """
        self._generation += 1
        buffer = io.BytesIO()
        torch.save(pack({"run": self.run, "generation": self._generation, "state": state}), buffer)
        content = buffer.getbuffer()
        path = self.folder / NAMES[self._generation % 2]

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)

        try:
            place(path, write)
        except OSError as error:
            self._generation -= 1
            raise OSError(
                error.errno, f"{error.strerror}; the snapshot before it is intact: make room and run again", str(path)
            ) from None
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def load(self) -> dict[str, Any] | None:
        """Read the newest whole state; None where there is none.

        Raises:
            CheckpointError: the folder holds another run's states.
        """
        whole = [found for name in NAMES if (found := self._read(self.folder / name))]
        if not whole:
            return None
        newest = max(whole, key=lambda found: found["generation"])
        if newest["run"] != self.run:
            raise CheckpointError(
                f"{self.folder}: the state of run {newest['run']}, but this is run {self.run}; delete or move it"
            )
        self._generation = newest["generation"]
        return newest["state"]

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            return None  # torn, as by a failing disk; the other generation stands in
        return unpack(torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True))
