"""Overhead: what journal, snapshots, lease and MLflow cost a training."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Finding, alternate, machine, markdown, save
from benchmarks.stand_ins import NoFolder, default_row
from mac.config import PretrainConfig, write_config
from mac.data import index, synthetic
from mac.data.store import FrameStore, extract
from mac.stages import pretrain
from mac.training.loop import Loop
from mac.training.run_folder import RunFolder

EPOCHS, REPEATS, LEASES = 4, 5, 20
GOAL = 0.98  # ÷ the bare loop
VIDEOS = {"classes": 10, "videos_per_class": 60, "num_frames": 36, "seed": 1}
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


def run(_: Path) -> None:
    """Train the demo's default pretraining for some epochs, bare and with all that surrounds it, in turns."""
    folder = Path(tempfile.mkdtemp())
    senders: list[subprocess.Popen] = []
    try:
        torch.set_num_threads(1)
        (config, _), store = default_row("demo"), _store(folder)
        seconds: dict[str, list[float]] = {}

        def train(name: str, sender: subprocess.Popen | None = None) -> Callable[[int], None]:
            def once(turn: int) -> None:
                seconds.setdefault(name, [])
                if sender:
                    sender.send_signal(signal.SIGCONT)
                spent = _train(config, store, _results(folder, name), is_bare=name == "bare loop")
                if sender:
                    sender.send_signal(signal.SIGSTOP)
                if turn:
                    seconds[name].append(spent)

            return once

        methods = {"bare loop": train("bare loop"), "journal, snapshots": train("journal, snapshots")}
        for what, uri in {"sent to MLflow": f"sqlite:///{folder}/mlflow.db", "MLflow's server down": NOWHERE}.items():
            name = f"journal, snapshots, {what}"
            write_config(_results(folder, name) / "pretrain" / config.identify() / "config.yaml", config)
            senders.append(_sender(_results(folder, name), uri))
            methods[name] = train(name, senders[-1])
        time.sleep(15)  # they import MLflow
        for sender in senders:
            sender.send_signal(signal.SIGSTOP)
        alternate(methods, REPEATS)
        lease = _lease_seconds(folder)
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()
        shutil.rmtree(folder)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: medians["bare loop"] / value for name, value in medians.items()}
    clips = EPOCHS * 16 * (len(store.select(config.split, "train")) // 16)
    lines = [[name, f"{clips / medians[name]:.1f}", f"{ratio:.3f}"] for name, ratio in ratios.items()]
    facts = {"machine": machine("torch", "mlflow"), "seconds": seconds, "ratios": ratios, "lease_seconds": lease}
    epoch = medians["bare loop"] / EPOCHS
    notes = (
        f"The demo's default pretraining on one core, {EPOCHS} epochs of {clips // EPOCHS} clips ({epoch:.1f} s each):"
        " there is a snapshot every epoch, and epochs this short are the worst case."
        f" A lease is taken once a job and costs {1000 * lease:.0f} ms; nothing of it stays beside the training."
    )
    findings = [Finding(f"training with {n} ÷ bare", ratio, GOAL) for n, ratio in ratios.items() if n != "bare loop"]
    tables = [markdown(["", "clips/s", "÷ bare"], lines), notes]
    save("overhead", "Overhead of never losing anything", facts, tables, findings)


def _store(folder: Path) -> FrameStore:
    (folder / "data").mkdir()
    synthetic.generate(folder / "data", "ucf101", **VIDEOS)
    table = index.build(folder / "data", "ucf101", max_unusable=0.0)
    extract(folder / "data", table, folder / "store", 64, 48)
    return FrameStore(folder / "store")


def _results(folder: Path, name: str) -> Path:
    return folder / name.replace(" ", "_").replace(",", "").replace("'", "")


def _train(config: PretrainConfig, store: FrameStore, results: Path, is_bare: bool) -> float:
    """Train anew; returns the seconds of the loop alone."""
    own = results / "pretrain" / config.identify()
    running = own / f"running_{EPOCHS}"
    shutil.rmtree(running, ignore_errors=True)
    folder: Any = NoFolder() if is_bare else RunFolder(running, config.identify())
    spent, original = [], Loop.train

    def timed(loop: Loop, *arguments: Any) -> None:
        began = time.perf_counter()
        original(loop, *arguments)
        spent.append(time.perf_counter() - began)

    Loop.train = timed
    try:
        outputs = pretrain.Outputs(own / "b.safetensors", own / "s.pt", own / "j")
        pretrain.run(config, store, EPOCHS, None, outputs, folder, torch.device("cpu"))
    finally:
        Loop.train = original
    return spent[0]


def _sender(results: Path, uri: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mac", "track", "follow", "--scale", "demo", "--results", results]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--tracking-uri", uri, "--while-pid", str(os.getpid())], **quiet)


def _lease_seconds(folder: Path) -> float:
    """Median seconds that a lease adds to a command."""
    environment = os.environ | {"MAC_DEVICES": "0,1,2,3", "MAC_LEASE_DIR": str(folder / "locks")}
    plain = [sys.executable, "-c", ""]
    commands = {"with": [sys.executable, "-m", "mac.runtime.lease", "--gpus", "1", "--", *plain], "without": plain}
    calls = {name: lambda _, c=c: subprocess.run(c, env=environment, check=True) for name, c in commands.items()}
    seconds = alternate(calls, LEASES)
    return statistics.median(seconds["with"]) - statistics.median(seconds["without"])
