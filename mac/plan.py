"""The plan of a scale: which distinct trainings its tables need, and which cell each of them serves.

Never imports torch: a plan of thousands of rows is made in seconds, wherever Snakemake runs.
"""

from dataclasses import replace
from pathlib import Path

from mac.claims import Claim
from mac.config import FinetuneConfig
from mac.experiment import Experiment, check_epochs, merge, parse, unfold
from mac.models.backbones import BACKBONES, FULL_WIDTH
from mac.planned import Cell, Finetuning, Plan, PlannedRow, PlannedTable, Pretraining, Probing
from mac.tables import Row, Table, claim_problems, elsewhere, kept_claims, parse_tables
from mac.validation import ConfigError, nearest, read_yaml

__all__ = [
    "Cell",
    "Finetuning",
    "Plan",
    "PlannedRow",
    "PlannedTable",
    "Pretraining",
    "Probing",
    "load",
    "scales",
]


def scales(folder: Path) -> list[str]:
    """Names of the scales in a configuration folder."""
    return sorted(path.stem for path in (folder / "scales").glob("*.yaml"))


def load(folder: Path, scale: str) -> Plan:
    """Read a configuration folder and resolve every row of a scale.

    Args:
        folder: holds ``default.yaml``, ``tables.yaml`` and ``scales/``.
        scale: name of a file in ``scales/``.

    Raises:
        ConfigError: every problem of all files and rows together.
    """
    if scale not in scales(folder):
        raise ConfigError([f"{folder}/scales: no scale {scale!r}{nearest(scale, scales(folder))}"])
    overrides = dict(read_yaml(folder / "scales" / f"{scale}.yaml"))
    table_overrides = overrides.pop("tables", {})
    problems: list[str] = []
    tree = merge(read_yaml(folder / "default.yaml"), overrides)
    try:
        default = parse(tree)
    except ConfigError as error:
        source = f"{folder}/default.yaml" + (f" with scales/{scale}.yaml" if overrides else "")
        problems += [f"{source}: {problem}" for problem in error.problems]
    every = read_yaml(folder / "tables.yaml")
    known = _of_scale(every, scale)
    for name in table_overrides:
        if name not in known:
            found = f"belongs to scales {every[name]['scales']} alone" if name in every else "no such table"
            problems.append(f"{folder}/scales/{scale}.yaml: tables.{name}: {found}{nearest(name, known)}")
    for name, content in every.items():
        named = (isinstance(content, dict) and content.get("scales")) or []
        if named and not set(named) & set(scales(folder)):  # a scale may be deleted, a table must not get lost
            problems.append(f"{folder}/tables.yaml: {name}: scales: none of {named}{nearest(named[0], scales(folder))}")
    try:
        tables = parse_tables(merge(known, table_overrides), f"{folder}/tables.yaml")
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    plan = Plan(scale, default)
    for name, table in tables.items():
        planner = _Planner(plan, tree, default, name, f"{folder}/tables.yaml")
        plan.tables[name] = planner.table(table, kept_claims(table, tables))
        problems += planner.problems
    problems += claim_problems(tables, known, f"{folder}/tables.yaml")
    if problems:
        raise ConfigError(problems)
    for name, planned in plan.tables.items():
        plan.tables[name] = replace(planned, elsewhere=_rows_elsewhere(tables[name], planned, plan))
    _collect_data(plan)
    return plan


def _of_scale(tables: dict, scale: str) -> dict:
    """Leave out the tables that belong to other scales."""
    return {
        name: content
        for name, content in tables.items()
        if not isinstance(content, dict) or scale in (content.get("scales") or [scale])
    }


class _Planner:
    """Resolves one table's rows into a plan, collecting problems instead of stopping at the first."""

    def __init__(self, plan: Plan, tree: dict, default: Experiment, name: str, source: str) -> None:
        self.plan, self.tree, self.default, self.name, self.source = plan, tree, default, name, source
        self.problems: list[str] = []

    def table(self, table: Table, claims: list[Claim]) -> PlannedTable:
        rows, seen = [], {}
        labels = [row.label for row in table.all_rows()]
        epochs = dict(zip(labels, table.curve.epochs, strict=True)) if table.curve else {}
        for row in table.kept_rows():
            epoch = epochs.get(row.label)
            cells = []
            for column, printed in zip(table.columns, row.printed, strict=True):
                where = f"{self.source}: {self.name}, row {row.label!r}"
                overrides = row.set | column.set | (table.curve.set if table.curve else {})
                try:
                    finetunes = () if row.cited else self._trainings(overrides, row, table, epoch, column.set)
                except ConfigError as error:
                    self.problems += [f"{where}: {problem}" for problem in error.problems]
                    finetunes = ()
                if finetunes and table.supervised:
                    self.plan.supervised = self.plan.supervised or finetunes[0]
                elif finetunes and not (overrides or table.curve or row.random):
                    self.plan.default = finetunes[0]
                if finetunes and finetunes in seen:
                    self.problems.append(f"{where}: trains exactly what row {seen[finetunes]!r} trains; delete one")
                seen[finetunes] = row.label
                cells.append(Cell(column.label, printed, finetunes))
            rows.append(PlannedRow(row.label, tuple(cells), row.cited, epoch))
        columns = tuple(column.label for column in table.columns)
        about = (tuple(claims), tuple(table.references), table.curve is not None)
        return PlannedTable(self.name, table.title, columns, tuple(rows), *about)

    def _trainings(
        self, overrides: dict, row: Row, table: Table, epoch: int | None, of_column: dict
    ) -> tuple[str, ...]:
        experiment = parse(merge(self.tree, unfold(overrides))) if overrides else self.default
        if row.set and experiment == (parse(merge(self.tree, unfold(of_column))) if of_column else self.default):
            raise ConfigError(["overrides nothing: every value is the default's; mark it `default: true` or delete it"])
        if table.curve:
            try:
                check_epochs(table.curve.epochs, experiment.pretrain.optimiser.epochs, "curve.epochs")
            except ValueError as error:
                raise ConfigError([str(error)]) from None
        use = f"{self.name}: {row.label}"
        pairs = [(seed, split) for seed in experiment.seeds for split in experiment.splits]
        trainings = (self._training(experiment, pair, table, epoch, use, row.random) for pair in pairs)
        return tuple(dict.fromkeys(trainings))

    def _training(
        self,
        experiment: Experiment,
        pair: tuple[int, int],
        table: Table,
        epoch: int | None,
        use: str,
        is_random: bool,
    ) -> str:
        if epoch == 0 or is_random:
            return self._finetune(experiment, experiment.finetuning(*pair, "random"), use)
        if table.supervised and experiment.supervised_baseline == "weights":
            if experiment.model.width != FULL_WIDTH or not BACKBONES[experiment.model.backbone].is_published:
                found = f"{experiment.model.backbone} of width {experiment.model.width}"
                lacking = f"supervised_baseline: no Kinetics-400 weights are published of {found}"
                raise ConfigError([f"{lacking} — write `pretrain`"])
            return self._finetune(experiment, experiment.finetuning(*pair, "kinetics400"), use)
        if table.supervised:
            stand_in = parse(merge(self.tree, unfold(table.supervised.set)))
            if stand_in.pretrain.pretext is None:
                needed = "the supervised pretraining takes its head's dropout from there"
                raise ConfigError([f"pretrain.pretext: is null, and {needed} — give it in {table.title!r}'s `set`"])
            pretraining = stand_in.pretraining(*pair, task="supervised")
        else:
            pretraining = experiment.pretraining(*pair)
        pretrain_id = pretraining.identify()
        planned = self.plan.pretrainings.setdefault(pretrain_id, Pretraining(pretraining))
        last = epoch or pretraining.optimiser.epochs
        planned.epochs |= {last, *(e for e in experiment.pretrain.checkpoints if e <= last)}
        if use not in planned.used_by:
            planned.used_by.append(use)
        return self._finetune(experiment, experiment.finetuning(*pair, "pretrained", pretrain_id, last), use)

    def _finetune(self, experiment: Experiment, config: FinetuneConfig, use: str) -> str:
        finetune_id = config.identify()
        planned: list[Finetuning | Probing] = [self.plan.finetunings.setdefault(finetune_id, Finetuning(config))]
        if probe := experiment.probing(config):
            planned[0].probe = probe.identify()
            planned.append(self.plan.probes.setdefault(planned[0].probe, Probing(probe)))
        for one in planned:
            if use not in one.used_by:
                one.used_by.append(use)
        return finetune_id


def _rows_elsewhere(table: Table, planned: PlannedTable, plan: Plan) -> tuple[PlannedRow, ...]:
    """Rows of other tables that a table's claims speak of, by the operand's text."""
    found = {}
    for operand in (operand for claim in planned.claims for operand in claim.operands()):
        if other := elsewhere(operand, table, plan.tables):
            row = next(row for row in plan.tables[other[0]].rows if row.label == other[1])
            cells = {cell.column: cell for cell in row.cells}
            found[operand] = replace(row, label=operand, cells=tuple(cells[name] for name in planned.columns))
    return tuple(found.values())


def _collect_data(plan: Plan) -> None:
    """Gather the data sets, stores, person boxes and mask checks that the planned trainings need."""
    for pretraining in plan.pretrainings.values():
        if pretraining.config.boxes:
            plan.boxes.setdefault(pretraining.config.boxes.identify(), pretraining.config.boxes)
        if check := pretraining.config.mask_check:
            plan.mask_checks.setdefault(check.identify(), check)
    for training in [*plan.pretrainings.values(), *plan.finetunings.values()]:
        store = training.config.store
        plan.stores.setdefault(store.identify(), store)
        plan.datasets.setdefault(store.dataset.identify(), store.dataset)
