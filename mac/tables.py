"""``tables.yaml`` as typed data: tables, their rows and columns, printed numbers and claims."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from mac.claims import Claim, Operand
from mac.config import Strict
from mac.validation import ConfigError, nearest, validate, validate_each

Measure = Literal["finetune", "probe", "recall@1"]


class Column(Strict):
    """A column: a label, what it overrides, and what its numbers are.

    ``measure``: top-1 after finetuning, or what the same weights reach without it (docs/probing.md): top-1 of a linear
    probe, or how often the nearest training video has the test video's class.
    """

    label: str
    set: dict[str, Any] = {}
    measure: Measure = "finetune"


class Row(Strict):
    """A row: a label, the printed number of each column [percent], and exactly one of set, default and cited.

    Without ``printed`` no number is. ``random: true`` finetunes from random weights: no pretraining; it may stand alone
    or beside ``set``.
    """

    label: str
    printed: list[float | None] | None = None
    set: dict[str, Any] = {}
    default: bool = False
    cited: bool = False
    random: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [bool(self.set) or self.random, self.default, self.cited]
        if not any(given):
            ways_out = "give it `set`, or mark it `default: true`, `random: true` or `cited: true`"
            raise ValueError(f"row {self.label!r} overrides nothing: {ways_out}")
        if sum(given) > 1:
            raise ValueError(
                f"row {self.label!r}: exactly one of `set` (or `random`), `default` and `cited` is allowed"
            )
        return self


class Curve(Strict):
    """One pretraining finetuned from several epochs; epoch 0 is random initialisation."""

    epochs: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)]
    printed: list[float | None]
    set: dict[str, Any] = {}

    def rows(self) -> list[Row]:
        """Spell the curve's points out as rows."""
        printed = [[value] for value in self.printed]
        labels = ["random init" if epoch == 0 else f"checkpoint {i}" for i, epoch in enumerate(self.epochs)]
        return [Row(label=label, printed=p, default=True) for label, p in zip(labels, printed, strict=True)]

    @model_validator(mode="after")
    def _points_printed(self) -> Self:
        if len(self.printed) != len(self.epochs):
            raise ValueError(f"curve.printed has {len(self.printed)} entries for {len(self.epochs)} epochs; use null")
        return self


class Sweep(Strict):
    """Rows that differ in one setting, ``key``: one for each of ``values``, the default's perhaps among them.

    ``set`` is what all of them override.
    """

    key: str
    values: Annotated[list[Any], Field(min_length=2)]
    set: dict[str, Any] = {}

    def rows(self, columns: int) -> list[Row]:
        """Spell the values out as rows."""
        changes = [{self.key: value} for value in self.values]
        return [Row(label=describe(one), printed=[None] * columns, set=self.set | one) for one in changes]


class Reference(Strict):
    """A horizontal line in a curve: somebody else's number."""

    label: str
    value: float


class Supervised(Strict):
    """A single row: the model of the experiment's ``supervised_baseline``, finetuned.

    ``set`` is what a supervised pretraining overrides where the scale says ``pretrain``.
    """

    label: str
    set: dict[str, Any] = {}


class Table(Strict):
    """A table, a curve, a sweep, or the figures' supervised row, of some ``scales`` or all.

    ``note`` is printed under it.
    """

    title: str
    note: str | None = None
    columns: Annotated[list[Column], Field(min_length=1)]
    rows: list[Row] = []
    only: list[str] | None = None
    scales: list[str] | None = None
    curve: Curve | None = None
    sweep: Sweep | None = None
    supervised: Supervised | None = None
    references: list[Reference] = []
    claims: list[Claim] = []

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum([bool(self.rows), *(kind is not None for kind in (self.curve, self.sweep, self.supervised))]) != 1:
            raise ValueError("exactly one of `rows`, `curve`, `sweep` and `supervised` is wanted")
        if self.columns[0].measure != "finetune":
            found = f"columns: the first, {self.columns[0].label!r}, measures by {self.columns[0].measure!r}"
            raise ValueError(f"{found}; put a column with `measure: finetune` first: figures are drawn of it")
        labels, columns = [row.label for row in self.all_rows()], [column.label for column in self.columns]
        for kind, names in (("row", labels), ("column", columns)):
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{kind} {twice[0]!r} stands twice")
        for row in self.all_rows():
            if row.printed is not None and len(row.printed) != len(self.columns):
                raise ValueError(
                    f"row {row.label!r}: {len(row.printed)} printed numbers for {len(self.columns)} columns; use null"
                )
        if unknown := [label for label in self.only or [] if label not in labels]:
            raise ValueError(f"only: no row {unknown[0]!r}{nearest(unknown[0], labels)}")
        return self

    def kept_rows(self) -> list[Row]:
        """Return the rows a scale keeps: those of ``only``, or all."""
        return [row for row in self.all_rows() if self.only is None or row.label in self.only]

    def all_rows(self) -> list[Row]:
        """Return the rows, a curve's and a sweep's points and the supervised model included."""
        if self.curve:
            return self.curve.rows()
        if self.sweep:
            return self.sweep.rows(len(self.columns))
        if self.supervised:
            return [Row(label=self.supervised.label, default=True)]
        return list(self.rows)

    def labels(self) -> list[str]:
        """Return what claims may speak of: labels of all rows and of the references."""
        return [named.label for named in [*self.all_rows(), *self.references]]


def parse_tables(tree: dict, source: str) -> dict[str, Table]:
    """Parse the tables by name.

    Args:
        tree: the content of ``tables.yaml`` with a scale's overrides laid over it; a scale leaves a table out with
            ``null`` and keeps some of its rows with ``only: [labels]``.
        source: what to call it in errors.

    Raises:
        ConfigError: every problem found, each with the table it is in.
    """

    def parse(content: Any) -> Table:
        if not isinstance(content, dict):
            raise ConfigError([f"found {content!r} — a mapping with title, columns and rows is wanted"])
        return validate(Table, content)

    return validate_each(parse, {name: content for name, content in tree.items() if content is not None}, source)


def on_one_line(value: Any) -> str:
    """Write a setting's value as YAML, on one line."""
    return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=float("inf")).strip()[1:-1]


def describe(changes: dict[str, Any]) -> str:
    """Write what a row changes; equal numbers are written equally, 20.0 as 20."""
    texts = {
        k: on_one_line(v).removesuffix(".0") if isinstance(v, float) else on_one_line(v) for k, v in changes.items()
    }
    return ", ".join(f"{key} = {text}" for key, text in texts.items())


def claim_problems(tables: dict[str, Table], named: Iterable[str], source: str) -> list[str]:
    """Say which claims speak of rows or columns that don't exist; of tables ``named`` but left out nothing is known."""
    found = []
    for name, table in tables.items():
        columns = [column.label for column in table.columns]
        for claim in table.claims:
            problems = [_problem(operand, table, tables, named) for operand in claim.operands()]
            unknown = [label for label in claim.columns or [] if label not in columns]
            problems += [f"no column {label!r}{nearest(label, columns)}" for label in unknown]
            found += [f"{source}: {name}: claim {claim.text!r}: {problem}" for problem in problems if problem]
    return found


def _problem(operand: Operand, table: Table, tables: dict[str, Table], named: Iterable[str]) -> str | None:
    """Say what is wrong with an operand of a claim; None where nothing is."""
    known = table.labels()
    if isinstance(operand, float) or operand in known:
        return None
    other = elsewhere(operand, table, [*tables, *named])
    if other is None:
        return f"no row {operand!r}{nearest(operand, known)}, or `TABLE: ROW` of another table"
    name, label = other
    if name not in tables:
        return None
    labels = [row.label for row in tables[name].all_rows()]
    if label not in labels:
        return f"no row {label!r} in {name}{nearest(label, labels)}"
    own, others = ({(column.label, column.measure) for column in one.columns} for one in (table, tables[name]))
    missing = ", ".join(f"{column} of measure {measure}" for column, measure in sorted(own - others))
    return f"{name} has no column {missing}" if missing else None


def elsewhere(operand: Operand, table: Table, names: Iterable[str]) -> tuple[str, str] | None:
    """Split an operand that is a row of another table into the table's name and the row's label; None for any other."""
    if isinstance(operand, str) and ": " in operand and operand not in table.labels():
        name, label = operand.split(": ", 1)
        return (name, label) if name in names else None
    return None


def kept_claims(table: Table, tables: dict[str, Table]) -> list[Claim]:
    """Return the claims that speak only of rows a scale keeps."""
    kept = [row.label for row in table.kept_rows()]
    own = [*kept, *(reference.label for reference in table.references)]

    def is_kept(operand: Operand) -> bool:
        if isinstance(operand, float) or operand in own:
            return True
        other = elsewhere(operand, table, tables)
        return other is not None and any(row.label == other[1] for row in tables[other[0]].kept_rows())

    claims = [claim for claim in table.claims if all(map(is_kept, claim.operands()))]
    return [claim for claim in claims if len(kept) == len(table.all_rows()) or not claim.speaks_of_all_rows()]
