"""The plan of a scale: which distinct trainings its tables need, and which cell each of them serves.

Never imports torch: a plan of thousands of rows is made in seconds, wherever Snakemake runs.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from mac.config import BoxesConfig, CardConfig, DatasetConfig, FinetuneConfig, PretrainConfig, StoreConfig
from mac.experiment import Experiment, check_epochs, merge, parse, unfold
from mac.tables import Claim, Reference, Row, Table, claim_problems, elsewhere, kept_claims, parse_tables
from mac.validation import ConfigError, nearest, read_yaml


@dataclass(frozen=True)
class Cell:
    """One number of a table: the finetunings (one a seed and split) whose mean it is; none if it is only cited."""

    column: str
    printed: float | None
    finetunes: tuple[str, ...]


@dataclass(frozen=True)
class PlannedRow:
    """A row's label, its cells, and whether it is only cited; a curve's point also has its pretraining epoch."""

    label: str
    cells: tuple[Cell, ...]
    cited: bool
    epoch: int | None = None


@dataclass(frozen=True)
class PlannedTable:
    """A table as planned: everything a report needs besides results."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[PlannedRow, ...]
    claims: tuple[Claim, ...]
    references: tuple[Reference, ...]
    is_curve: bool
    elsewhere: tuple[PlannedRow, ...] = ()  # rows of other tables that claims speak of, labelled `TABLE: ROW`

    @property
    def finetunes(self) -> tuple[str, ...]:
        """Ids of the finetunings this table needs, those its claims speak of elsewhere included, each once."""
        rows = [*self.rows, *self.elsewhere]
        return tuple(dict.fromkeys(i for row in rows for cell in row.cells for i in cell.finetunes))


@dataclass
class Pretraining:
    """A distinct pretraining, the epochs to keep, and the rows that share it."""

    config: PretrainConfig
    epochs: set[int] = field(default_factory=set)
    used_by: list[str] = field(default_factory=list)


@dataclass
class Finetuning:
    """A distinct finetuning and the rows that share it."""

    config: FinetuneConfig
    used_by: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """All a scale needs, by id."""

    scale: str
    experiment: Experiment
    tables: dict[str, PlannedTable] = field(default_factory=dict)
    pretrainings: dict[str, Pretraining] = field(default_factory=dict)
    finetunings: dict[str, Finetuning] = field(default_factory=dict)
    datasets: dict[str, DatasetConfig] = field(default_factory=dict)
    stores: dict[str, StoreConfig] = field(default_factory=dict)
    boxes: dict[str, BoxesConfig] = field(default_factory=dict)
    cards: dict[str, CardConfig] = field(default_factory=dict)
    default: str | None = None  # the finetuning of the rows that override nothing, at the first seed and split
    supervised: str | None = None  # likewise of the figures' supervised model

    @property
    def gradcam_pair(self) -> tuple[str, str] | None:
        """The two finetunings that figures 2–4 compare, MAC's and the supervised one; None where one isn't planned."""
        return (self.default, self.supervised) if self.default and self.supervised else None


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
    known = read_yaml(folder / "tables.yaml")
    for name in table_overrides:
        if name not in known:
            problems.append(f"{folder}/scales/{scale}.yaml: tables.{name}: no such table{nearest(name, known)}")
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
                elif finetunes and not (overrides or table.curve):
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
        return tuple(dict.fromkeys(self._training(experiment, pair, table, epoch, use) for pair in pairs))

    def _training(
        self, experiment: Experiment, pair: tuple[int, int], table: Table, epoch: int | None, use: str
    ) -> str:
        if epoch == 0:
            return self._finetune(experiment.finetuning(*pair, "random"), use)
        if table.supervised and experiment.supervised_baseline == "weights":
            if experiment.model.width != 64 or experiment.model.backbone == "r2plus1d_10":
                found = f"{experiment.model.backbone} of width {experiment.model.width}"
                lacking = f"supervised_baseline: no Kinetics-400 weights are published of {found}"
                raise ConfigError([f"{lacking} — write `pretrain`"])
            return self._finetune(experiment.finetuning(*pair, "kinetics400"), use)
        if table.supervised:
            stand_in = parse(merge(self.tree, unfold(table.supervised.set)))
            pretraining = stand_in.pretraining(*pair, task="supervised")
        else:
            pretraining = experiment.pretraining(*pair)
        pretrain_id = pretraining.identify()
        planned = self.plan.pretrainings.setdefault(pretrain_id, Pretraining(pretraining))
        last = epoch or pretraining.optimiser.epochs
        planned.epochs |= {last, *(e for e in experiment.pretrain.checkpoints if e <= last)}
        if use not in planned.used_by:
            planned.used_by.append(use)
        return self._finetune(experiment.finetuning(*pair, "pretrained", pretrain_id, last), use)

    def _finetune(self, config: FinetuneConfig, use: str) -> str:
        finetune_id = config.identify()
        planned = self.plan.finetunings.setdefault(finetune_id, Finetuning(config))
        if use not in planned.used_by:
            planned.used_by.append(use)
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
    """Gather the data sets, stores, person boxes and mask cards that the planned trainings need."""
    for pretraining in plan.pretrainings.values():
        if pretraining.config.boxes:
            plan.boxes.setdefault(pretraining.config.boxes.identify(), pretraining.config.boxes)
        if pretraining.config.task == "mac":
            plan.cards.setdefault(pretraining.config.card.identify(), pretraining.config.card)
    for training in [*plan.pretrainings.values(), *plan.finetunings.values()]:
        store = training.config.store
        plan.stores.setdefault(store.identify(), store)
        plan.datasets.setdefault(store.dataset.identify(), store.dataset)
