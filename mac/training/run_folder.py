"""The folder of a running training: its journal and snapshots, from which a failed or killed job continues."""

import errno
import fcntl
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mac.runtime.atomic import place
from mac.runtime.lease import LEASED
from mac.tracking.journal import Journal, read
from mac.training.checkpoint import CheckpointError, load_state, save_state
from mac.training.distributed import ALONE, World

SNAPSHOT = "snapshot.pt"
SHARE = 0.01  # of a training's time may go into snapshots at the ends of epochs
PATIENCE = 120.0  # seconds to wait for another process that is still saving its state


class Interrupted(Exception):  # noqa: N818 (no error: the same command goes on)
    """A training was asked to leave, saved itself and left; the same command continues it."""

    exit_status = 75  # of the command: EX_TEMPFAIL, try again


class BusyError(Exception):
    """Another process trains this run; the message names the folder."""


class RunFolder:
    """Where a run keeps what it needs to be killed at any moment and continued.

    Every process of a run opens it; only the first one writes.

    Attributes:
        state: the newest snapshot, None at the beginning.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        save_every: float = 600.0,
        is_stopping: Callable[[], bool] = lambda: False,
        world: World = ALONE,
    ) -> None:
        """Open or continue the folder of ``run`` (its id).

        Args:
            folder: made if it is missing; of this run alone.
            run: the run's id.
            save_every: seconds after which the next snapshot is due, however long it takes.
            is_stopping: whether the run was asked to leave.
            world: the processes of the run.

        Raises:
            mac.training.checkpoint.CheckpointError: the folder is another run's, or its journal is not whole.
            mac.runtime.reading.DamagedFileError: the snapshot is damaged.
            BusyError: another process trains this run, and doesn't end.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if world.is_first:
            self._lock = _lock(folder)
        self.folder, self._save_every, self._is_stopping, self._world = folder, save_every, is_stopping, world
        self._snapshot, self._run = folder / SNAPSHOT, run
        found = load_state(self._snapshot, run) if self._snapshot.exists() else None
        self.state: dict[str, Any] | None = found["state"] if found else None
        self._journal = None
        if world.is_first:
            path, keep = folder / "journal.jsonl", found["journal"] if found else 0
            if keep and (not path.exists() or path.stat().st_size < keep):
                raise CheckpointError(
                    f"{path}: shorter than the {keep} bytes that the snapshot beside it was saved with; put it back, or"
                    f" delete {folder} to train anew"
                )
            self._journal = Journal(path, keep)
        self._saved, self._cost, self._is_leaving = time.monotonic(), 0.0, False
        self._make_state: Callable[[], dict[str, Any]] | None = None

    def write(self, event: str, **values: Any) -> None:
        """Append an event to the run's journal."""
        if self._journal:
            self._journal.write(event, **values)

    def warn(self, name: str, detail: str, epoch: int, step: int) -> None:
        """Write a warning into the run's journal and its log."""
        self.write("warning", epoch=epoch, step=step, name=name, detail=detail)
        if self._journal:
            print(f"warning: {name}: {detail}", file=sys.stderr, flush=True)

    @property
    def warnings(self) -> list[str]:
        """The run's warnings so far, of each name the newest; only the process that writes knows them."""
        events = read(self._journal.path) if self._journal else []
        return list({e["name"]: f"{e['name']}: {e['detail']}" for e in events if e["event"] == "warning"}.values())

    def is_due(self, at_end_of_epoch: bool) -> bool:
        """Whether to save now: the run was asked to leave, or the last snapshot has grown old.

        It is old after ``save_every`` seconds. At the end of an epoch it is old as soon as writing another one takes at
        most ``SHARE`` of the time since: every long epoch ends with a snapshot, and some of the short ones do.
        """
        age = time.monotonic() - self._saved
        is_old = age >= self._save_every or (at_end_of_epoch and age >= self._cost / SHARE)
        # All processes must decide alike: if one is asked to leave, all leave; the first one knows what saving costs.
        wishes = [float(self._is_stopping()), float(is_old and self._world.is_first)]
        self._is_leaving, is_due = (wish > 0 for wish in self._world.mean(wishes))
        return self._is_leaving or is_due

    def save(self, state: dict[str, Any]) -> None:
        """Save the state of the training; all processes call this, the first writes.

        Raises:
            Interrupted: after saving, if the run was asked to leave.
        """
        began = time.monotonic()
        if self._journal:
            self._write(state)
        self._saved = time.monotonic()
        self._cost = self._saved - began
        if self._is_leaving:
            raise Interrupted(f"saved in {self.folder}; the same command continues it")

    def _write(self, state: dict[str, Any]) -> None:
        covered = self._journal.sync()
        try:
            save_state(self._snapshot, self._run, {"state": state, "journal": covered})
        except OSError as error:
            way_out = "the snapshot before it is intact: make room and run again"
            raise OSError(error.errno, f"{error.strerror}; {way_out}", str(self._snapshot)) from None
        self._journal.write("saved")  # the snapshot covers all before it, which may now go to MLflow

    def remember(self, make_state: Callable[[], dict[str, Any]]) -> None:
        """Note how to make the state at the end of the training, for a run that is asked to leave during its test."""
        self._make_state = make_state

    def leave_if_asked(self) -> None:
        """Leave during the test if the run was asked to; what was trained since the newest snapshot is saved first.

        Raises:
            Interrupted: if the run was asked to leave.
        """
        if self._is_stopping():
            if self._make_state and self._journal:
                self._write(self._make_state())
            raise Interrupted(f"saved in {self.folder}; the same command continues it")

    def publish(self, journal: Path) -> None:
        """Put a copy of the whole journal in place."""
        if own := self._journal:
            own.sync()
            place(journal, lambda partial: shutil.copyfile(own.path, partial))

    def discard(self) -> None:
        """Delete the folder: the run is complete and its outputs are in place."""
        if self._journal:
            self._journal.close()
            shutil.rmtree(self.folder)
            self._lock.close()


def _lock(folder: Path) -> IO[bytes]:
    """Make sure that no other process trains here, and sign the lock; wait for one that is just leaving."""
    lock = (folder / "lock").open("ab")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process alone: its readers don't inherit it
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                break  # a file system without locks
            if time.monotonic() > deadline:
                raise BusyError(f"{folder}: another process trains this run; wait for it, or end it") from None
            time.sleep(0.5)
        else:
            break
    lock.truncate(0)
    lock.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "gpus": os.environ.get(LEASED)}).encode())
    lock.flush()
    return lock
