"""Results that are kept beside a report and restored instead of running; known by their ids. No torch."""

import gzip
import hashlib
import io
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mac.pipeline import files_of, results_of
from mac.plan import Plan
from mac.runtime import waiting
from mac.runtime.atomic import replace, write_json
from mac.runtime.reading import read_json

PROVENANCE = "provenance.json"
MADE_ON = ("device", "commit", "torch", "lock", "index_digest")  # facts in the metrics of kept runs


class KeptError(Exception):
    """A kept result differs from its provenance; the message names the file and the way out."""

    def __init__(self, path: Path, found: str, kept: Path) -> None:
        super().__init__(f"{path}: {found}; restore it, or delete {kept} to run everything")


@dataclass(frozen=True)
class Product:
    """A part of a report that is made of videos or checkpoints: the ids of those, and its files in the report."""

    of: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Restorable:
    """The runs of a plan that need not run, by id, and the products of its report that needn't be made, by name."""

    pretrainings: frozenset[str] = frozenset()
    finetunings: frozenset[str] = frozenset()
    probes: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()


def products(plan: Plan) -> dict[str, Product]:
    """List a report's data cards, mask figures, figures 2–4 and the figure of gains, by name."""
    found = {}
    for i, dataset in plan.datasets.items():
        files = tuple(f"data/{dataset.name}.{ending}" for ending in ("md", "json", "png"))
        found[f"data/{dataset.name}"] = Product((i,), files)
    if plan.shown_check:
        files = tuple(f"figures/mask_{name}" for name in ("sweep.json", "sweep.png", "check.png", "foreground.png"))
        found["figures/mask"] = Product((plan.shown_check,), files)
    if plan.gradcam_pair:
        files = tuple(f"figures/{name}" for name in ("gradcam.json", "F2.png", "F3.png", "F4.png"))
        found["figures/gradcam"] = Product(plan.gradcam_pair, files)
    if plan.gains:
        files = ("figures/gains.json", "figures/gains.png")
        found["figures/gains"] = Product((plan.shown_check, *plan.gains.runs), files)
    return found


def kept_name(name: str) -> str:
    """What a run's file is called below ``kept``: journals are compressed there."""
    return f"{name}.gz" if name.endswith(".jsonl") else name


def restorable(plan: Plan, kept: Path) -> Restorable:
    """Find a plan's runs and products among what was kept.

    A pretraining is restored if all its planned epochs are kept and no run that is still to run starts from it. A
    product is used again if its files are unchanged and it was made of the same data, mask setting or runs.

    Args:
        plan: what is wanted.
        kept: ``REPORTS/SCALE/kept``; without a provenance in it, nothing is restored.

    Raises:
        KeptError: the provenance can't be read, or a file that it lists is missing.
    """
    if not (kept / PROVENANCE).is_file():
        return Restorable()
    listed = read_provenance(kept)
    runs = set(listed["runs"])
    for run in runs:
        for name in map(kept_name, files_of(run)):
            if not (kept / name).is_file():
                raise KeptError(kept / name, "is missing", kept)
    standing = {
        name
        for name, product in products(plan).items()
        if listed["report"].get(name) == {"of": list(product.of), "files": digests(product, kept.parent)}
    }
    # Figures 2-4 look into classifiers, which are not kept.
    to_run = set() if "figures/gradcam" in standing else set(plan.gradcam_pair or ())
    finetunings = {i for i in plan.finetunings if f"finetune/{i}" in runs and i not in to_run}
    probes = {i for i in plan.probes if f"probe/{i}" in runs}
    running = [f.config for i, f in plan.finetunings.items() if i not in finetunings]
    running += [p.config for i, p in plan.probes.items() if i not in probes]
    needed = {config.pretrain_id for config in running}
    pretrainings = {
        i
        for i, planned in plan.pretrainings.items()
        if i not in needed and all(f"pretrain/{i}/epoch_{e}" in runs for e in planned.epochs)
    }
    return Restorable(frozenset(pretrainings), frozenset(finetunings), frozenset(probes), frozenset(standing))


def made(plan: Plan, report: Path, before: dict[str, Any]) -> dict[str, Any]:
    """Describe the products in a report's folder: the ids that each is made of, and its files' digests.

    Args:
        plan: of the scale.
        report: ``REPORTS/SCALE``.
        before: the description of last time; a product whose files haven't changed since keeps its entry.
    """
    found = {name: (product, digests(product, report)) for name, product in products(plan).items()}
    return {
        name: before[name] if before.get(name, {}).get("files") == files else {"of": list(product.of), "files": files}
        for name, (product, files) in found.items()
        if files
    }


def digests(product: Product, report: Path) -> dict[str, str]:
    """Digests of a product's files, by name; empty if one of them is missing."""
    paths = [report / name for name in product.files]
    if not all(path.is_file() for path in paths):
        return {}
    return {name: digest(path.read_bytes()) for name, path in zip(product.files, paths, strict=True)}


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_provenance(kept: Path) -> dict[str, Any]:
    """Read what was kept: ``runs`` (their files' digests, by name) and ``report`` (what its products are made of).

    Raises:
        KeptError: it isn't the JSON that ``keep`` writes.
    """
    path = kept / PROVENANCE
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(listed["runs"], dict) and isinstance(listed["report"], dict):
            return listed
        found = "`runs` and `report` must be mappings"
    except (ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
    raise KeptError(path, f"can't be read ({found})", kept)


def keep(plan: Plan, finished: Collection[str], results: Path, report: Path) -> int:
    """Copy the small files of finished runs into ``REPORT/kept``, with digests and the machines they ran on.

    Runs that were kept before stay, unless they are no longer part of the plan.

    Args:
        plan: of the scale.
        finished: the runs whose results can be used, named as in :func:`mac.pipeline.results_of`.
        results: the results folder.
        report: ``REPORTS/SCALE``.

    Returns:
        How many runs are kept now.
    """
    kept = report / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    folder = os.open(kept, os.O_RDONLY)
    try:
        # The provenance is read, added to and written.
        waiting.lock(folder, f"another process that keeps results in {kept}")
        before = read_provenance(kept) if (kept / PROVENANCE).is_file() else {"runs": {}, "report": {}}
        runs, planned = before["runs"], set(results_of(plan))
        for run in runs.keys() - planned:
            for name in map(kept_name, files_of(run)):
                (kept / name).unlink(missing_ok=True)
            del runs[run]
        for run in finished:
            contents = {kept_name(name): _small(results, name) for name in files_of(run)}
            _write(kept, contents)
            runs[run] = {name.rsplit("/", 1)[1]: digest(content) for name, content in contents.items()}
        about = {"scale": plan.scale, "kept": str(date.today()), "made_on": _made_on(kept, runs)}
        listed = {"report": made(plan, report, before["report"]), "runs": dict(sorted(runs.items()))}
        write_json(kept / PROVENANCE, about | listed)
    finally:
        os.close(folder)
    return len(runs)


def restore(kept: Path, run: str, results: Path) -> None:
    """Copy a kept run's files into a results folder, after checking them.

    Raises:
        KeptError: a file is missing or has changed since it was kept; nothing is written.
    """
    listed = read_provenance(kept)["runs"].get(run)
    if listed is None:
        raise KeptError(kept / PROVENANCE, f"says nothing of {run}", kept)
    found = {}
    for name in files_of(run):
        path = kept / kept_name(name)
        if not path.is_file():
            raise KeptError(path, "is missing", kept)
        content = path.read_bytes()
        if digest(content) != listed.get(path.name):
            raise KeptError(path, "is not what was kept (SHA-256)", kept)
        found[name] = gzip.decompress(content) if path.suffix == ".gz" else content
    _write(results, found)


def _made_on(kept: Path, runs: Collection[str]) -> dict[str, list[str]]:
    """Devices, commits, torch versions, locks and index digests in the metrics of the kept runs, each once."""
    files = (next(name for name in files_of(run) if name.endswith(".json")) for run in runs)
    facts = [read_json(kept / name) for name in files]
    return {name: sorted({str(run[name]) for run in facts if name in run}) for name in MADE_ON}


def _small(results: Path, name: str) -> bytes:
    """Read a run's file as it is kept; ``results`` may be another report's ``kept``.

    Journals are compressed, to a fifth. Predictions lose their logits, nine tenths of the file, which no report is made
    of.
    """
    path, packed = results / name, results / kept_name(name)
    if packed != path:
        return packed.read_bytes() if packed.exists() else gzip.compress(path.read_bytes(), mtime=0)
    content = path.read_bytes()
    if path.suffix != ".parquet":
        return content
    from pyarrow import parquet  # here: a plan is made without it

    table = parquet.read_table(io.BytesIO(content))
    if "logits" not in table.column_names:
        return content
    small = io.BytesIO()
    parquet.write_table(table.drop_columns(["logits"]), small, compression="zstd", compression_level=19)
    return small.getvalue()


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        replace(folder / name, lambda partial, content=content: partial.write_bytes(content))
