"""The jobs of a Snakemake that runs: what its log says of them, and what a job's own log says of its end."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

LAST_LINES = 12  # of a job's own log that a person is shown
AGAIN = "the same command then goes on where the run was saved last."
WAYS_OUT = {
    "message": f"The message says what to do; {AGAIN}",
    "traceback": f"Nobody foresaw this error. Mend its cause; {AGAIN}",
    "stopped": "It was stopped with Ctrl-C. The same command goes on where the run was saved last.",
    "saved": "It was interrupted and saved itself. The same command goes on.",
    "silent": "It ended without a word: it was killed from outside, or the machine ran out of memory (in"
    " config/config.yaml: `training_memory`). The same command goes on where the run was saved last.",
}
TRACEBACK = "Traceback (most recent call last)"
# How a command's last message begins; a report names results that it leaves out, and goes on.
_MESSAGE = re.compile(r"^(mac( [\w-]+)+: (?!\S+ is left out: )|lease: |Error: )", re.M)
_HEAD = re.compile(r"(Error in )?(?:local)?(?:rule|checkpoint) (\w+)(?:, groupid .*)?:$")
_FIELD = re.compile(r"    (jobid|log): (.+)$")
_STAMP = re.compile(r"\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]$")
_PLANNED = re.compile(r"(\w+) +(\d+)$")


@dataclass
class Job:
    """A job that Snakemake has begun: its rule, its own log (None: it has none), and when it began and ended [s]."""

    rule: str
    log: Path | None
    began: float
    ended: float | None = None
    has_failed: bool = False

    @property
    def name(self) -> str:
        """What its log is named after: a run's id, with the epoch of a pretraining, e.g. ``02e60eee45_12``."""
        return self.log.stem if self.log else ""


class Jobs:
    """What Snakemake's log says so far.

    Attributes:
        planned: how many jobs of each rule this call is to run.
        begun: the jobs that have begun, by Snakemake's number.
    """

    def __init__(self, log: Path) -> None:
        """Follow a log file, which may not be there yet."""
        self.planned: dict[str, int] = {}
        self.begun: dict[str, Job] = {}
        self._path, self._read, self._rest = log, 0, ""
        self._now, self._head, self._log = 0.0, None, None

    @property
    def running(self) -> list[Job]:
        """Jobs that have begun and not ended."""
        return [job for job in self.begun.values() if job.ended is None]

    @property
    def done(self) -> list[Job]:
        """Jobs that have ended well."""
        return [job for job in self.begun.values() if job.ended is not None and not job.has_failed]

    def read(self, now: float | None = None) -> list[Job]:
        """Read what was added to the log; returns the jobs that failed meanwhile.

        ``now`` is the time at which a job began or ended whose line bears no time of its own.
        """
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            added = file.read()
        self._read += len(added)
        self._now = self._now or now or time.time()
        *lines, self._rest = (self._rest + added.decode(errors="replace")).split("\n")
        return [job for line in lines if (job := self._take(line))]

    def _take(self, line: str) -> Job | None:
        """Read one line; returns the job that it says has failed."""
        if stamp := _STAMP.match(line):
            self._now = time.mktime(time.strptime(stamp[1]))
        elif head := _HEAD.match(line):
            self._head, self._log = head, None
        elif line.startswith("Finished jobid: "):
            self._end(line.split()[2])
        elif self._head and (field := _FIELD.match(line)):
            if field[1] == "log":
                self._log = Path(field[2])
            elif self._head[1]:
                return self._end(field[2], has_failed=True)
            else:
                self.begun[field[2]] = Job(self._head[2], self._log, self._now)
        elif not self.begun and (planned := _PLANNED.match(line)) and planned[1] != "total":
            self.planned[planned[1]] = int(planned[2])
        return None

    def _end(self, number: str, has_failed: bool = False) -> Job | None:
        """Note that a job has ended."""
        if job := self.begun.get(number):
            job.ended, job.has_failed = self._now, has_failed
        return job


class Ending(NamedTuple):
    """How a job ended that has no result: one of ``WAYS_OUT``, and the lines of its own log that say so."""

    kind: str
    lines: list[str]

    @property
    def is_error(self) -> bool:
        """Whether its log ends in an error; else the job was ended from outside, or runs."""
        return self.kind in ("message", "traceback")

    @property
    def way_out(self) -> str:
        """What to do."""
        return WAYS_OUT[self.kind]


def ending(log: Path | None) -> Ending:
    """Read the end of a job's own log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log and log.is_file() else ""
    messages = list(_MESSAGE.finditer(text))
    begun = messages[-1].start() if messages else 0
    lines = [line for line in text[begun:].splitlines() if line.strip()]
    if lines and lines[-1].endswith("the same command continues it"):
        return Ending("saved", lines[-1:])
    if lines and lines[-1].startswith("KeyboardInterrupt"):
        return Ending("stopped", lines[-1:])
    if text.rfind(TRACEBACK) >= begun:
        return Ending("traceback", lines[-LAST_LINES:])
    return Ending("message", lines[:LAST_LINES]) if messages else Ending("silent", lines[-LAST_LINES:])
