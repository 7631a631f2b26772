"""Stands before ``python`` on the PATH of jobs: trainings run under a witness of their device, all else as it is.

``witness.py FOLDER ARGUMENTS-OF-PYTHON``. Two trainings that have the same device at one time are told in FOLDER/clash.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

folder, arguments = Path(sys.argv[1]), sys.argv[2:]
if arguments[:2] != ["-m", "mac"] or arguments[2] not in ("pretrain", "finetune"):
    os.execv(sys.executable, [sys.executable, *arguments])
device = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
lock = (folder / f"device-{device}").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (folder / "clash").write_text(device)
began = time.time()
status = subprocess.run([sys.executable, *arguments], check=False).returncode
facts = {"device": device, "job": os.environ.get("SLURM_JOB_ID"), "began": began, "ended": time.time()}
with (folder / "trainings.jsonl").open("a") as out:
    out.write(json.dumps(facts) + "\n")
sys.exit(status)
