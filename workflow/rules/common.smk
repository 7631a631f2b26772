import os
import subprocess
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from mac import plan as planning
from mac.data import catalog
from mac.runtime.user import UserConfig, check_gpus_per_run
from mac.validation import ConfigError, validate
from mac.kept import KeptError, files_of, recall
from mac.runtime.folders import UnwritableError, check_writable, dataset_root

try:
    USER = validate(UserConfig, dict(config))
    PLAN = planning.load(Path(USER.config_dir), USER.scale)
    check_gpus_per_run(PLAN, USER.gpus_per_run)
    for setting in ("results", "reports"):
        check_writable(Path(getattr(USER, setting)), setting)
    if any(dataset.embedded for dataset in PLAN.datasets.values()):
        check_writable(Path(USER.data_root), "data_root")
    REPORTS = f"{USER.reports}/{USER.scale}"
    KEPT = f"{REPORTS}/kept"
    RECALLED = recall(PLAN, Path(KEPT))
except (ConfigError, UnwritableError, KeptError) as error:
    raise WorkflowError(str(error)) from None

ENVIRONMENT = "../../environment.yml"
RESULTS = USER.results
LEDGER = f"{workflow.basedir}/docs/discrepancies.md"
TRACKING = USER.tracking_uri or f"sqlite:///{RESULTS}/mlflow.db"
SCALE = f"--scale {USER.scale} --config-dir {USER.config_dir}"
PROCESSOR = f"--device {USER.device} --loader-workers {USER.loader_workers}"
# `exec`: a SIGTERM to all processes of a job must not end the shell, and with it the job, while a training saves itself.
LEASE = (
    "exec"
    if USER.device == "cpu"
    else f"exec python -m mac.runtime.lease --gpus {{resources.gpu}} --per-device {USER.jobs_per_gpu} --"
)
TRAINING = (
    f"{PROCESSOR} --threads {USER.training_threads} --processes {{resources.gpu}}"
    f" --save-minutes {USER.save_minutes}"
)
RUNS_PAGE = f"--runs-page '{USER.runs_page}'" if USER.runs_page else ""
REPORT = f"{SCALE} --results {RESULTS} --out {REPORTS} {RUNS_PAGE}"

CARD_GATE = f"{RESULTS}/masks/{USER.scale}.passed"
OFFLINE = "" if USER.download else "--offline"
MAX_UNUSABLE = " ".join(f"{name}={share}" for name, share in USER.max_unusable.items())
WEIGHTS = f"--weights {USER.detector_weights}" if USER.detector_weights else ""
DATASETS = {dataset.name: i for i, dataset in PLAN.datasets.items()}
# Where jobs are submitted there is no number of cores: the profile sets threads.
DATA_THREADS = workflow.resource_settings.cores or 1


wildcard_constraints:
    dataset_id="[0-9a-f]{10}",
    dataset="|".join(DATASETS),
    store_id="[0-9a-f]{10}",
    boxes_id="[0-9a-f]{10}",
    shard=r"\d+",
    shards=r"\d+",
    card_id="[0-9a-f]{10}",
    pretrain_id="[0-9a-f]{10}",
    finetune_id="[0-9a-f]{10}",
    probe_id="[0-9a-f]{10}",
    epoch=r"\d+",


onstart:
    shell(f"python -m mac preflight --tracking-uri '{TRACKING}'")
    # Sends to MLflow what runs write while they train. It ends by itself when this Snakemake has; a session of its own
    # lets it see that end when Ctrl-C brings it about.
    follow = f"exec python -m mac track follow {SCALE} --results {RESULTS} --tracking-uri '{TRACKING}'"
    os.makedirs(f"{RESULTS}/logs", exist_ok=True)
    with open(f"{RESULTS}/logs/track_follow.log", "w") as log:
        own = {"stdout": log, "stderr": log, "start_new_session": True}
        subprocess.Popen(
            f"{follow} --since {int(time.time())} --while-pid {os.getpid()}",
            shell=True,
            **own,
        )
