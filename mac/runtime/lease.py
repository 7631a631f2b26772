"""Whole GPUs for concurrent jobs of one machine: ``python -m mac.runtime.lease --gpus N -- COMMAND …``.

Snakemake counts GPUs but never says *which* one a job may use. A lease is an exclusive kernel lock on one file per
device, held by the command's own process: the kernel releases it when that process ends, however it ends. Any number of
Snakemakes, users' scripts and shells on one machine share the devices that way.

Devices that SLURM granted are leased too, but only among the processes of that SLURM job: a Snakemake inside an
interactive allocation runs several trainings on them. Each SLURM job has its own locks, because clusters may number the
devices of every job from 0.
"""

import argparse
import contextlib
import fcntl
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from mac.runtime import waiting

PRETENDED = "MAC_DEVICES"  # names of devices to lease in place of the machine's, for tests
ONLY_NAMES = "MAC_PRETEND_GPUS"  # set where a cluster's devices exist in name only, for tests: trainings use the CPU
FOLDER = "MAC_LEASE_DIR"
GRANTED = "CUDA_VISIBLE_DEVICES"
CLUSTER_JOB = "SLURM_JOB_ID"
LEASED = "MAC_LEASED"  # set for the command: a lease inside it takes no further devices
DEVICE_FILES = Path("/dev")


class LeaseError(Exception):
    """A lease can't be had; the message says what is asked for and what there is."""


def devices() -> list[str]:
    """Names of the devices that may be leased here: those granted from outside, or all of the machine's.

    Returns:
        What ``CUDA_VISIBLE_DEVICES`` takes, one name a device however it was written: UUIDs where ``nvidia-smi`` tells
        them, indices elsewhere. None on a machine without a GPU.

    Raises:
        LeaseError: one was granted twice, or the machine has GPUs, none is granted and ``nvidia-smi`` can't list them.
    """
    if PRETENDED in os.environ:
        return [name.strip() for name in os.environ[PRETENDED].split(",") if name.strip()]
    if GRANTED not in os.environ:
        return [device for card in _cards() for device in card]
    try:
        cards = _cards()
    except LeaseError:  # then devices go by the names they were granted under
        cards = []
    return _granted(os.environ[GRANTED], cards)


def real_devices() -> list[str]:
    """Name the devices that trainings must use: :func:`devices`, but for those that tests made up."""
    return [] if {PRETENDED, ONLY_NAMES} & os.environ.keys() else devices()


def describe(device: str) -> str:
    """Name a leased device as ``nvidia-smi`` counts it, e.g. ``GPU 3``, or as it was leased where that is not known."""
    try:
        numbers = {one: number for number, card in enumerate(_cards()) for one in card}
    except LeaseError:
        numbers = {}
    return f"GPU {numbers[device]}" if device in numbers else f"GPU {device}" if device.isdecimal() else device


def _cards() -> list[list[str]]:
    """List the machine's GPUs in the order of ``nvidia-smi``: the UUID of each, or of the instances it is cut into."""
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
        listed, problem = told.stdout, told.returncode and (told.stdout + told.stderr).strip()
    except (OSError, subprocess.SubprocessError) as error:
        listed, problem = "", str(error)
    if problem and any(DEVICE_FILES.glob("nvidia[0-9]*")):
        raise LeaseError(
            f"this machine has an NVIDIA GPU (/dev/nvidia…), but `nvidia-smi -L` can't list it: {problem}. Mend the"
            f" driver, name the devices yourself (export {GRANTED}=0,1), or set `device: cpu` in config/config.yaml to"
            " train without a GPU"
        )
    cards: list[list[str]] = []
    for line in [] if problem else listed.splitlines():
        if card := re.match(r"GPU \d+: .*\(UUID: (GPU-[^)]+)\)", line):
            cards.append([card[1]])
        elif (instance := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)) and cards:
            cards[-1] = [device for device in cards[-1] if device.startswith("MIG-")] + [instance[1]]
    return cards


def _granted(text: str, cards: list[list[str]]) -> list[str]:
    """Read ``CUDA_VISIBLE_DEVICES`` as CUDA does: indices or (the beginnings of) UUIDs; an invalid entry ends the list.

    Indices are taken in the order of ``nvidia-smi``, which is CUDA's on machines whose GPUs are all alike.
    """
    found: list[str] = []
    for entry in text.split(","):
        device = _identify(entry.strip(), cards)
        if device is None:
            break
        if device in found:
            raise LeaseError(f"{GRANTED}={text} names the device {device} twice; CUDA would show none. Name it once")
        found.append(device)
    return found


def _identify(entry: str, cards: list[list[str]]) -> str | None:
    """Give the one name of a device, or None if there is no such device (CUDA takes a cut-up GPU's first instance)."""
    if re.fullmatch(r"[0-9]+", entry):
        number = int(entry)
        if not cards:  # nothing is known of the machine's GPUs
            return str(number)
        return cards[number][0] if number < len(cards) else None
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    if not cards:
        return entry
    matching = [device for card in cards for device in card if device.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


def lock_folder() -> Path:
    """Where the locks of ``devices()`` are: one folder a machine, and one for each SLURM job that was granted some."""
    folder = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir(), "mac-lease"))
    if GRANTED in os.environ and PRETENDED not in os.environ and os.environ.get(CLUSTER_JOB):
        return folder.with_name(f"{folder.name}-job-{os.environ[CLUSTER_JOB]}")
    return folder


def lease(count: int, available: list[str], folder: Path, per_device: int = 1) -> list[str]:
    """Take ``count`` devices, waiting until so many are free; they are this process's until it ends.

    Only one process at a time takes devices, until it has all that it asked for. So no two processes wait for each
    other, and jobs of one device can't overtake a job of many for ever.

    Args:
        count: devices to take.
        available: their names.
        folder: on this machine's own disk, holds the lock files.
        per_device: jobs that may share a device.

    Returns:
        The names taken.

    Raises:
        LeaseError: more are asked for than there are.
    """
    if count > len(available):
        raise LeaseError(f"{count} GPUs asked for, but there are {len(available)} ({', '.join(available) or 'none'})")
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        folder.chmod(0o777)  # other users of the machine take part
    turn = _open(folder / "turn.lock")
    taken: list[str] = []

    def take() -> bool:
        # Fill one place on every device before a second place on any, so that jobs spread over the devices.
        for place in range(per_device):
            for device in available:
                if len(taken) < count and device not in taken and _try(folder / f"{device}.{place}.lock"):
                    taken.append(device)
        return len(taken) == count

    waiting.lock(turn, f"another job that waits for GPUs ({folder / 'turn.lock'})")
    waiting.wait_until(take, f"{count} of the GPUs {', '.join(available)}: other jobs hold them ({folder})")
    os.close(turn)
    return taken


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o666)
    return descriptor


def _try(path: Path) -> bool:
    """Lock a file if nobody holds it, for as long as this process lives: the command it becomes inherits the lock."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    os.set_inheritable(descriptor, True)
    return True


def main() -> None:
    """Take the devices, then become the command."""
    parser = argparse.ArgumentParser(prog="python -m mac.runtime.lease", description=__doc__.split("\n")[0])
    parser.add_argument("--gpus", type=int, required=True, help="devices to take")
    parser.add_argument("--per-device", type=int, default=1, help="jobs that may share a device (default 1)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("name a command after --")
    if arguments.gpus and LEASED not in os.environ:
        try:
            if available := devices():
                taken = lease(arguments.gpus, available, lock_folder(), arguments.per_device)
                os.environ[GRANTED] = os.environ[LEASED] = ",".join(taken)
        except LeaseError as error:
            sys.exit(f"lease: {error}")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"lease: {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
