"""The plan of a scale: which distinct trainings its tables need, and which cell each of them serves.

Never imports torch: a plan of thousands of rows is made in seconds, wherever Snakemake runs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mac.claims import Claim
from mac.config import FinetuneConfig
from mac.experiment import Experiment, check_epochs, merge, parse, unfold
from mac.gains import find_gains
from mac.models.backbones import BACKBONES, FULL_WIDTH, TORCHVISION
from mac.overrides import NO_OVERRIDES, SOURCE, Overrides
from mac.planned import Cell, Finetuning, Plan, PlannedRow, PlannedTable, Pretraining, Probing
from mac.tables import Column, Row, Table, claim_problems, elsewhere, kept_claims, on_one_line, parse_tables
from mac.validation import ConfigError, collect, nearest, read_yaml


def scales(folder: Path) -> list[str]:
    """Names of the scales in a configuration folder."""
    return sorted(path.stem for path in (folder / "scales").glob("*.yaml"))


def load(folder: Path, scale: str, overrides: Overrides = NO_OVERRIDES) -> Plan:
    """Read a configuration folder and resolve every row of a scale.

    Args:
        folder: holds ``default.yaml``, ``tables.yaml`` and ``scales/``.
        scale: name of a file in ``scales/``.
        overrides: rows from the command line, in addition.

    Raises:
        ConfigError: every problem of all files and rows together.
    """
    if scale not in scales(folder):
        if not scales(folder):
            way_out = "work in the repository's folder, or name the folder with --config-dir"
            raise ConfigError([f"{folder}/scales: no scale {scale!r}, nor any other, in {Path.cwd()} — {way_out}"])
        raise ConfigError([f"{folder}/scales: no scale {scale!r}{nearest(scale, scales(folder))}"])
    own = _overrides_of(folder, scale)
    table_overrides = own.pop("tables", {})
    problems: list[str] = []
    tree = merge(read_yaml(folder / "default.yaml"), own)
    with collect(problems, f"{folder}/default.yaml" + (f" with scales/{scale}.yaml" if own else "")):
        default = parse(tree)
    every = read_yaml(folder / "tables.yaml")
    known = _of_scale(every, scale, table_overrides)
    for name in table_overrides:
        if name not in every:
            problems.append(f"{folder}/scales/{scale}.yaml: tables.{name}: no such table{nearest(name, every)}")
    for name, content in every.items():
        named = (isinstance(content, dict) and content.get("scales")) or []
        if named and not set(named) & set(scales(folder)):  # a scale may be deleted, a table must not get lost
            problems.append(f"{folder}/tables.yaml: {name}: scales: none of {named}{nearest(named[0], scales(folder))}")
    with collect(problems):
        tables = parse_tables(merge(known, table_overrides), f"{folder}/tables.yaml")
    if problems:
        raise ConfigError(problems)
    with collect(problems):
        tables |= overrides.tables(tree, tables) if overrides.names else {}
    plan = Plan(scale, default)
    for name, table in tables.items():
        source = SOURCE if name in overrides.names else f"{folder}/tables.yaml"
        planner = _Planner(plan, tree, name, table, source)
        plan.tables[name] = planner.plan_table(kept_claims(table, tables))
        problems += planner.problems
    problems += claim_problems(tables, known, f"{folder}/tables.yaml")
    if problems:
        raise ConfigError(problems)
    for name, planned in plan.tables.items():
        plan.tables[name] = replace(planned, elsewhere=_rows_elsewhere(tables[name], planned, plan))
    collect_data(plan)
    if default.figures.gains and plan.shown_check:
        with collect(problems, f"{folder}/scales/{scale}.yaml: figures.gains"):
            plan.gains = find_gains(default.figures.gains, plan, every)
    if problems:
        raise ConfigError(problems)
    return plan


def _overrides_of(folder: Path, scale: str, extending: tuple[str, ...] = ()) -> dict:
    """Read what a scale overrides, on top of the scale that it ``extends``.

    Raises:
        ConfigError: there is no such scale to extend, or it extends this one.
    """
    own = dict(read_yaml(folder / "scales" / f"{scale}.yaml"))
    base = own.pop("extends", None)
    if base is None:
        return own
    known = [name for name in scales(folder) if name not in (scale, *extending)]
    if base not in known:
        found = f"{folder}/scales/{scale}.yaml: extends: no scale {base!r} that does not extend this one"
        raise ConfigError([f"{found}{nearest(str(base), known)}"])
    return merge(_overrides_of(folder, base, (scale, *extending)), own)


def _of_scale(tables: dict, scale: str, overrides: dict) -> dict:
    """Leave out the tables that belong to other scales, unless this one's file gives something for them."""
    return {
        name: content
        for name, content in tables.items()
        if not isinstance(content, dict)
        or scale in (content.get("scales") or [scale])
        or overrides.get(name) is not None
    }


class _Planner:
    """Resolves one table's rows into a plan, collecting problems instead of stopping at the first."""

    def __init__(self, plan: Plan, tree: dict, name: str, table: Table, source: str) -> None:
        self.plan, self.tree, self.name, self.table, self.source = plan, tree, name, table, source
        self.problems: list[str] = []

    def plan_table(self, claims: list[Claim]) -> PlannedTable:
        rows, seen, table = [], {}, self.table
        labels = [row.label for row in table.all_rows()]
        epochs = dict(zip(labels, table.curve.epochs, strict=True)) if table.curve else {}
        values = dict(zip(labels, table.sweep.values, strict=True)) if table.sweep else {}
        for row in table.kept_rows():
            cells = []
            for column, printed in zip(table.columns, row.printed or [None] * len(table.columns), strict=True):
                where, runs = f"{self.source}: {self.name}, row {row.label!r}", ()
                if not row.cited:
                    with collect(self.problems, where):
                        runs = self._runs(row, column, epochs.get(row.label))
                cell = Cell(column.label, printed, runs, column.measure)
                if runs and (same := seen.get((cell.measure, runs))):
                    self.problems.append(f"{where}: trains exactly what row {same!r} trains; delete one")
                seen[cell.measure, runs] = row.label
                cells.append(cell)
            value = _number_or_text(values[row.label]) if values else None
            rows.append(PlannedRow(row.label, tuple(cells), row.cited, epochs.get(row.label), value))
        columns = tuple(column.label for column in table.columns)
        about = (tuple(claims), tuple(table.references), table.curve is not None)
        swept = table.sweep.key if table.sweep else None
        return PlannedTable(self.name, table.title, columns, tuple(rows), *about, note=table.note, swept=swept)

    def _experiment(self, overrides: dict) -> Experiment:
        return parse(merge(self.tree, unfold(overrides))) if overrides else self.plan.experiment

    def _runs(self, row: Row, column: Column, epoch: int | None) -> tuple[str, ...]:
        """Plan the finetunings or probes of a cell, and what each of them starts from; their ids."""
        curve = self.table.curve
        overrides = row.set | column.set | (curve.set if curve else {})
        if self.table.supervised and self.plan.experiment.supervised_baseline == "weights":
            overrides |= {"model.channels": TORCHVISION}  # the published weights' network
        experiment = self._experiment(overrides)
        if row.set and not self.table.sweep and experiment == self._experiment(column.set):
            raise ConfigError(["overrides nothing: every value is the default's; mark it `default: true` or delete it"])
        if curve:
            try:
                check_epochs(curve.epochs, experiment.pretrain.optimiser.epochs, "curve.epochs")
            except ValueError as error:
                raise ConfigError([str(error)]) from None
        is_finetuned, found = column.measure == "finetune", {}
        if not is_finetuned and experiment.probe is None:
            lacking = f"probe: is null, and column {column.label!r} measures by {column.measure!r}"
            raise ConfigError([f"{lacking} — give it in the column's `set`, or in the scale: penalties and folds"])
        plan_run = self._finetune if is_finetuned else self._probe
        for seed, split, draw in experiment.repeats:
            config = experiment.finetuning(seed, split, *self._start(experiment, (seed, split), row, epoch), draw)
            found[plan_run(experiment, config, f"{self.name}: {row.label}")] = None
        first = next(iter(found))
        if self.table.supervised:
            self.plan.supervised = self.plan.supervised or first
        elif is_finetuned and not (overrides or curve or row.random):
            self.plan.default = first
        return tuple(found)

    def _start(
        self, experiment: Experiment, pair: Sequence[int], row: Row, epoch: int | None
    ) -> tuple[str, str | None, int | None]:
        """Plan the pretraining of a finetuning; its ``initial``, ``pretrain_id`` and ``epoch``."""
        supervised = self.table.supervised
        if epoch == 0 or row.random:
            return "random", None, None
        if supervised and experiment.supervised_baseline == "weights":
            model = experiment.model
            if model.width != FULL_WIDTH or not BACKBONES[model.backbone].is_published:
                found = f"{model.backbone} of width {model.width}"
                lacking = f"supervised_baseline: no Kinetics-400 weights are published of {found}"
                raise ConfigError([f"{lacking} — write `pretrain`"])
            return "kinetics400", None, None
        if supervised:
            stand_in = self._experiment(supervised.set)
            if stand_in.pretrain.pretext is None:
                needed = "the supervised pretraining takes its head's dropout from there"
                where = f"give it in {self.table.title!r}'s `set`"
                raise ConfigError([f"pretrain.pretext: is null, and {needed} — {where}"])
            pretraining = stand_in.pretraining(*pair, task="supervised")
        else:
            pretraining = experiment.pretraining(*pair)
        pretrain_id, last = pretraining.identify(), epoch or pretraining.optimiser.epochs
        planned = self.plan.pretrainings.setdefault(pretrain_id, Pretraining(pretraining))
        planned.epochs |= {last, *(e for e in experiment.pretrain.checkpoints if e <= last)}
        planned.share(f"{self.name}: {row.label}")
        return "pretrained", pretrain_id, last

    def _finetune(self, experiment: Experiment, config: FinetuneConfig, use: str) -> str:
        """Plan a finetuning and its probe; the finetuning's id."""
        finetune_id = config.identify()
        planned = self.plan.finetunings.setdefault(finetune_id, Finetuning(config))
        planned.share(use)
        if experiment.probe:
            planned.probe = self._probe(experiment, config, use)
        return finetune_id

    def _probe(self, experiment: Experiment, config: FinetuneConfig, use: str) -> str:
        """Plan the probe of the weights that a finetuning would start from; its id."""
        probe = experiment.probing(config)
        probe_id = probe.identify()
        self.plan.probes.setdefault(probe_id, Probing(probe)).share(use)
        return probe_id


def _number_or_text(value: Any) -> float | str:
    """A swept value as a picture's axis takes it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else on_one_line(value)


def _rows_elsewhere(table: Table, planned: PlannedTable, plan: Plan) -> tuple[PlannedRow, ...]:
    """Rows of other tables that a table's claims speak of, by the operand's text."""
    found = {}
    for operand in (operand for claim in planned.claims for operand in claim.operands()):
        if other := elsewhere(operand, table, plan.tables):
            row = next(row for row in plan.tables[other[0]].rows if row.label == other[1])
            cells = {cell.column: cell for cell in row.cells}
            found[operand] = replace(row, label=operand, cells=tuple(cells[name] for name in planned.columns))
    return tuple(found.values())


def collect_data(plan: Plan) -> None:
    """Gather the data sets, stores, person boxes and mask checks that the planned trainings need."""
    for pretraining in plan.pretrainings.values():
        if pretraining.config.boxes:
            plan.boxes.setdefault(pretraining.config.boxes.identify(), pretraining.config.boxes)
        if check := pretraining.config.mask_check:
            plan.mask_checks.setdefault(check.identify(), check)
    for training in [*plan.pretrainings.values(), *plan.tested.values()]:
        store = training.config.store
        plan.stores.setdefault(store.identify(), store)
        plan.datasets.setdefault(store.dataset.identify(), store.dataset)
