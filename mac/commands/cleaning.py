"""``clean``: list results that no table refers to, and delete exactly those when told to."""

import argparse
from pathlib import Path

from mac import plan as planning
from mac.config import FinetuneConfig, PretrainConfig
from mac.plan import Plan
from mac.runtime.leftovers import TRAINED, Folder, Kept, Leftover, leftover, locks, remove, unreferred
from mac.validation import ConfigError, nearest, read_yaml, validate


def clean(arguments: argparse.Namespace) -> None:
    """Print what could go, with sizes and reasons; with ``--yes`` delete it."""
    known = planning.scales(arguments.config_dir)
    scales = arguments.scale or known
    problems = [f"--scale {name}: no such scale{nearest(name, known)}" for name in scales if name not in known]
    if problems or not scales:
        raise ConfigError(problems or [f"{arguments.config_dir}/scales: no scale, so nothing says what is needed"])
    plans = [_load(arguments.config_dir, scale) for scale in scales]
    folder = Folder(arguments.results)
    listed, kept = find(folder, plans)
    states = find_states(folder, plans) if arguments.states else []
    _print(f"Not referred to by any table of the scales {', '.join(scales)} in {arguments.config_dir}:", listed)
    if arguments.states:
        _print("Referred to, but needed no more to read results off (--states):", states)
    for one in kept:
        print(f"Kept: {one.name} — {one.why}")
    everything = [*listed, *states]
    total = f"{len(everything)} in all, {_megabytes(sum(one.size for one in everything))}."
    if not arguments.yes:
        print(f"{total} Nothing was deleted; --yes deletes exactly this. Runs recorded in MLflow stay there.")
        return
    gone = [one for one in everything if _remove(one, arguments.results)]
    print(f"Deleted {len(gone)} of {total}")


def find(folder: Folder, plans: list[Plan]) -> tuple[list[Leftover], list[Kept]]:
    """List what no plan refers to, and what stays although none does.

    A run that is being trained stays, with all it was made from.
    """
    referred = set().union(*(_ids(plan) for plan in plans))
    kept, live = list(folder.links), set()
    for run_id, stage in folder.trained_now().items():
        live |= {run_id, *_upstream(folder.results / stage / run_id / "config.yaml", stage)}
        if run_id not in referred:
            kept.append(
                Kept(
                    f"{stage}/{run_id}", "is being trained now, or was within a day; so what it was made from stays too"
                )
            )
    for run_id, stage in folder.made_now().items():
        live.add(run_id)
        if run_id not in referred:
            kept.append(Kept(f"{stage}/{run_id}", "not finished and changed within a day: something may be making it"))
    listed = unreferred(folder, referred | live, "no table refers to it")
    for run_id, epochs in _epochs(plans).items():
        if run_id in folder.ids("pretrain") and run_id not in live:
            listed += _surplus(folder.results / "pretrain" / run_id, epochs)
    return listed, kept


def find_states(folder: Folder, plans: list[Plan]) -> list[Leftover]:
    """List what is referred to but only serves to train on: states of finished pretrainings, abandoned snapshots."""
    busy, listed, wanted = folder.trained_now(), [], _epochs(plans)
    for run_id in folder.ids("pretrain"):
        run, epochs = folder.results / "pretrain" / run_id, wanted.get(run_id, set())
        if run_id in busy or not epochs or not all((run / f"epoch_{e}.json").is_file() for e in epochs):
            continue
        states = [path for path in (run / f"epoch_{e}.state.pt" for e in sorted(epochs)) if path.is_file()]
        if states:
            why = "the pretraining is finished; without it, later epochs would be trained from the first on"
            listed.append(leftover(f"pretrain/{run_id} states", states, why))
    referred = set().union(*(_ids(plan) for plan in plans))
    for stage in TRAINED:
        for run_id in sorted(set(folder.ids(stage)) & referred - set(busy)):
            for path in sorted((folder.results / stage / run_id).glob("running*")):
                if path.is_dir() and not path.is_symlink() and locks(path):
                    why = "snapshots of a training that nobody continues now; it would begin its segment anew"
                    listed.append(leftover(f"{stage}/{run_id}/{path.name}", [path], why))
    return listed


def _load(config_dir: Path, scale: str) -> Plan:
    """Plan a scale.

    Raises:
        ConfigError: it has a problem; nothing may be deleted on the word of such a configuration.
    """
    try:
        return planning.load(config_dir, scale)
    except ConfigError as error:
        problems = [f"scale {scale}: {problem}" for problem in error.problems]
        raise ConfigError(
            [*problems, "nothing was deleted: mend it, or name the scales that count with --scale"]
        ) from None


def _ids(plan: Plan) -> set[str]:
    trained = {*plan.pretrainings, *plan.finetunings, *plan.probes}
    return trained | {*plan.datasets, *plan.stores, *plan.boxes, *plan.cards}


def _epochs(plans: list[Plan]) -> dict[str, set[int]]:
    """Epochs that any of the plans keeps, by pretraining."""
    found: dict[str, set[int]] = {}
    for plan in plans:
        for run_id, pretraining in plan.pretrainings.items():
            found.setdefault(run_id, set()).update(pretraining.epochs)
    return found


def _upstream(path: Path, stage: str) -> set[str]:
    """Ids of what a run is made from; all its own configuration says, which must be there and whole."""
    config = validate(PretrainConfig if stage == "pretrain" else FinetuneConfig, read_yaml(path))
    found = {config.store.identify(), config.store.dataset.identify()}
    if isinstance(config, FinetuneConfig):
        return found | ({config.pretrain_id} if config.pretrain_id else set())
    return found | {config.card.identify()} | ({config.boxes.identify()} if config.boxes else set())


def _surplus(run: Path, epochs: set[int]) -> list[Leftover]:
    """Checkpoints of epochs that no table asks for."""
    found: dict[int, list[Path]] = {}
    for path in sorted(run.glob("epoch_*.*")):
        number = path.name.removeprefix("epoch_").split(".")[0]
        if number.isdecimal() and int(number) not in epochs and path.is_file() and not path.is_symlink():
            found.setdefault(int(number), []).append(path)
    return [leftover(f"pretrain/{run.name} epoch {epoch}", paths, "no table refers to this epoch")
            for epoch, paths in sorted(found.items())]  # fmt: skip


def _remove(one: Leftover, results: Path) -> bool:
    is_gone = remove(one, results)
    if not is_gone:
        print(f"Kept: {one.name} — somebody has begun to train it")
    return is_gone


def _print(title: str, listed: list[Leftover]) -> None:
    print(title if listed else f"{title} nothing")
    width = max((len(one.name) for one in listed), default=0)
    for one in listed:
        print(f"  {one.name:{width}}  {_megabytes(one.size):>12}  {one.why}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
