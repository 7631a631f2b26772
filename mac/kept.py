"""Results that were kept beside a report and stand in for their runs. Decided by ids and file names alone; no torch."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mac.plan import Plan

PROVENANCE = "provenance.json"
TESTED = ("predictions.parquet", "journal.jsonl", "metrics.json")  # of a finetuning or a probe
SEGMENT = ("jsonl", "json")  # of a pretraining up to an epoch; checkpoints are not kept


class KeptError(Exception):
    """A kept result is not what its provenance says; the message names the file and the way out."""


@dataclass(frozen=True)
class Product:
    """A part of a report that takes videos or checkpoints to make: the ids it is made of, its files in the report."""

    of: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Recalled:
    """Which of a plan's runs need not run, by id, and which of its report's products stand as they are, by name."""

    pretrainings: frozenset[str] = frozenset()
    finetunings: frozenset[str] = frozenset()
    probes: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()


def products(plan: Plan) -> dict[str, Product]:
    """List a report's data cards, mask figures and figures 2–4, by name."""
    found = {
        f"data/{dataset.name}": Product((i,), _endings(f"data/{dataset.name}", "md", "json", "png"))
        for i, dataset in plan.datasets.items()
    }
    if plan.shown_card:
        pictures = ("figures/mask_card.png", "figures/mask_foreground.png")
        found["figures/mask"] = Product((plan.shown_card,), _endings("figures/mask_sweep", "json", "png") + pictures)
    if plan.gradcam_pair:
        pictures = tuple(f"figures/F{n}.png" for n in (2, 3, 4))
        found["figures/gradcam"] = Product(plan.gradcam_pair, ("figures/gradcam.json", *pictures))
    return found


def recall(plan: Plan, kept: Path) -> Recalled:
    """Find a plan's runs and products among what was kept.

    A pretraining is recalled if all its planned epochs are there and nothing that is still to run starts from it; a
    product stands if its files are there, as they were kept, and it was made of the same data, setting or runs.

    Args:
        plan: what is wanted.
        kept: ``REPORTS/SCALE/kept``; nothing is recalled where it has no provenance.

    Raises:
        KeptError: the provenance can't be read, or a file that it lists is missing.
    """
    if not (kept / PROVENANCE).is_file():
        return Recalled()
    listed = read_provenance(kept)
    runs = set(listed["runs"])
    for run in runs:
        for name in files_of(run):
            if not (kept / name).is_file():
                raise _missing(kept, name)
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
    return Recalled(frozenset(pretrainings), frozenset(finetunings), frozenset(probes), frozenset(standing))


def made(plan: Plan, report: Path, before: dict[str, Any]) -> dict[str, Any]:
    """What a report's folder holds of its plan's products: the ids each is made of, and its files' digests.

    Args:
        plan: of the scale.
        report: ``REPORTS/SCALE``.
        before: the same, as it was kept last: files that haven't changed since are still made of what they were.
    """
    found = {name: (product, digests(product, report)) for name, product in products(plan).items()}
    return {
        name: before[name] if before.get(name, {}).get("files") == files else {"of": list(product.of), "files": files}
        for name, (product, files) in found.items()
        if files
    }


def digests(product: Product, report: Path) -> dict[str, str]:
    """Digests of a product's files by name; none if one of them is missing."""
    paths = [report / name for name in product.files]
    if not all(path.is_file() for path in paths):
        return {}
    return {name: digest(path.read_bytes()) for name, path in zip(product.files, paths, strict=True)}


def files_of(run: str) -> list[str]:
    """Names of a run's kept files below a results folder; ``run`` is ``STAGE/ID`` or ``pretrain/ID/epoch_E``."""
    if run.startswith("pretrain/"):
        return [f"{run}.{ending}" for ending in SEGMENT]
    return [f"{run}/{name}" for name in TESTED]


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_provenance(kept: Path) -> dict[str, Any]:
    """Read what was kept: ``runs``, their files' digests by name, and ``report``, what its products are made of.

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
    raise KeptError(f"{path}: can't be read ({found}); restore it, or delete {kept} to run everything")


def checked(kept: Path, run: str) -> dict[str, bytes]:
    """Read a kept run's files by name, as their provenance describes them.

    Raises:
        KeptError: one is missing or not what was kept.
    """
    listed = read_provenance(kept)["runs"].get(run)
    if listed is None:
        raise KeptError(f"{kept / PROVENANCE}: says nothing of {run}; restore it, or delete {kept} to run everything")
    found = {}
    for name in files_of(run):
        path = kept / name
        if not path.is_file():
            raise _missing(kept, name)
        found[name] = path.read_bytes()
        if digest(found[name]) != listed[name.rsplit("/", 1)[1]]:
            raise KeptError(f"{path}: is not what was kept (SHA-256); restore it, or delete {kept} to run everything")
    return found


def _missing(kept: Path, name: str) -> KeptError:
    return KeptError(f"{kept / name}: is missing; restore it, or delete {kept} to run everything")


def _endings(stem: str, *endings: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{ending}" for ending in endings)
