"""What a scale needs, as planned: tables with their cells, distinct runs by id, and the data under them. No torch."""

from dataclasses import dataclass, field
from typing import Any

from mac import config as stages
from mac.claims import Claim
from mac.experiment import Experiment
from mac.tables import Measure, Reference


@dataclass(frozen=True)
class Cell:
    """One number of a table: the runs (one a seed and split) whose mean it is; none if it is only cited.

    They are finetunings, or probes where the ``measure`` is of one.
    """

    column: str
    printed: float | None
    runs: tuple[str, ...]
    measure: Measure = "finetune"

    @property
    def stage(self) -> str:
        """The stage of its runs."""
        return "finetune" if self.measure == "finetune" else "probe"


@dataclass(frozen=True)
class PlannedRow:
    """A row's label, its cells, and whether it is only cited.

    A curve's point also has its pretraining epoch, and a sweep's its value: a number, or text.
    """

    label: str
    cells: tuple[Cell, ...]
    cited: bool
    epoch: int | None = None
    value: float | str | None = None


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
    note: str | None = None  # printed under it
    swept: str | None = None  # the setting that a sweep's rows differ in

    @property
    def has_picture(self) -> bool:
        """Whether a picture shows its numbers: of a curve, and of a sweep."""
        return self.is_curve or self.swept is not None

    @property
    def finetunes(self) -> tuple[str, ...]:
        """Ids of the finetunings this table needs, those its claims speak of elsewhere included, each once."""
        return self._runs("finetune")

    @property
    def probes(self) -> tuple[str, ...]:
        """Likewise of the probes that its columns show."""
        return self._runs("probe")

    def _runs(self, stage: str) -> tuple[str, ...]:
        cells = (cell for row in [*self.rows, *self.elsewhere] for cell in row.cells if cell.stage == stage)
        return tuple(dict.fromkeys(i for cell in cells for i in cell.runs))


@dataclass(frozen=True)
class Gains:
    """What the figure of gains compares, in one column: a row, ``TABLE: ROW``, ``over`` others; names and cells."""

    column: str
    row: str
    cell: Cell
    over: tuple[tuple[str, Cell], ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """The finetunings it is made of."""
        return tuple(i for cell in (self.cell, *(cell for _, cell in self.over)) for i in cell.runs)


@dataclass
class Run:
    """A distinct run, and the rows that share it."""

    config: Any
    used_by: list[str] = field(default_factory=list)

    def share(self, use: str) -> None:
        """Note that a row, ``TABLE: ROW``, uses the run."""
        if use not in self.used_by:
            self.used_by.append(use)


@dataclass
class Pretraining(Run):
    """A distinct pretraining, and the epochs to keep."""

    config: stages.PretrainConfig
    epochs: set[int] = field(default_factory=set)


@dataclass
class Finetuning(Run):
    """A distinct finetuning, and the probe of the weights it starts from."""

    config: stages.FinetuneConfig
    probe: str | None = None


@dataclass
class Probing(Run):
    """A distinct probe."""

    config: stages.ProbeConfig


@dataclass
class Plan:
    """All a scale needs, by id."""

    scale: str
    experiment: Experiment
    tables: dict[str, PlannedTable] = field(default_factory=dict)
    pretrainings: dict[str, Pretraining] = field(default_factory=dict)
    finetunings: dict[str, Finetuning] = field(default_factory=dict)
    probes: dict[str, Probing] = field(default_factory=dict)
    datasets: dict[str, stages.DatasetConfig] = field(default_factory=dict)
    stores: dict[str, stages.StoreConfig] = field(default_factory=dict)
    boxes: dict[str, stages.BoxesConfig] = field(default_factory=dict)
    mask_checks: dict[str, stages.MaskCheckConfig] = field(default_factory=dict)
    default: str | None = None  # the finetuning of the rows that override nothing, at the first seed and split
    supervised: str | None = None  # likewise of the figures' supervised model
    gains: Gains | None = None  # what the figure of gains compares, where a scale asks for it

    @property
    def rows(self) -> dict[str, PlannedRow]:
        """The rows that train, by ``TABLE: ROW``."""
        return {f"{t.name}: {row.label}": row for t in self.tables.values() for row in t.rows if not row.cited}

    @property
    def tested(self) -> dict[str, Finetuning | Probing]:
        """The runs that test a model, by id: finetunings and probes."""
        return self.finetunings | self.probes

    @property
    def shown_check(self) -> str | None:
        """The mask check whose setting a report shows and varies: the default row's, else the first of Algorithm 1."""
        start = self.finetunings[self.default].config.pretrain_id if self.default else None
        check = self.pretrainings[start].config.mask_check if start else None
        ours = [i for i, one in self.mask_checks.items() if one.mask.source == "frame_difference"]
        return check.identify() if check and check.identify() in ours else next(iter(ours), None)

    @property
    def gradcam_pair(self) -> tuple[str, str] | None:
        """The two finetunings that figures 2–4 compare, MAC's and the supervised one; None where one isn't planned."""
        return (self.default, self.supervised) if self.default and self.supervised else None

    def view(self, table: str) -> str:
        """Name the view of a table's runs in MLflow."""
        return f"{self.scale}-{table}"
