"""``tables.yaml`` as typed data: tables, their rows and columns, and printed numbers."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mac.claims import Claim, Operand
from mac.config import Strict
from mac.validation import ConfigError, nearest, validate, validate_each

RANDOM_INIT = "random init"


class Column(Strict):
    """A column: a label and what it overrides."""

    label: str
    set: dict[str, Any] = {}


class Row(Strict):
    """A row: a label, the printed top-1 of each column [percent], and exactly one of set, default and cited.

    ``random: true`` finetunes from random weights: no pretraining; it may stand alone or beside ``set``.
    """

    label: str
    printed: list[float | None]
    set: dict[str, Any] = {}
    default: bool = False
    cited: bool = False
    random: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum([bool(self.set) or self.random, self.default, self.cited]) != 1:
            raise ValueError(
                f"row {self.label!r} overrides nothing: give it `set`, or mark it `default: true`, `random: true` or"
                " `cited: true`"
                if not (self.set or self.random or self.default or self.cited)
                else f"row {self.label!r}: exactly one of `set` (or `random`), `default` and `cited` is allowed"
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
        labels = [RANDOM_INIT if epoch == 0 else f"checkpoint {i}" for i, epoch in enumerate(self.epochs)]
        return [Row(label=label, printed=p, default=True) for label, p in zip(labels, printed, strict=True)]

    @model_validator(mode="after")
    def _points_printed(self) -> Self:
        if len(self.printed) != len(self.epochs):
            raise ValueError(f"curve.printed has {len(self.printed)} entries for {len(self.epochs)} epochs; use null")
        return self


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
    """A table, a curve, or the figures' supervised row; one that names ``scales`` belongs to these alone."""

    title: str
    columns: Annotated[list[Column], Field(min_length=1)]
    rows: list[Row] = []
    only: list[str] | None = None
    scales: list[str] | None = None
    curve: Curve | None = None
    supervised: Supervised | None = None
    references: list[Reference] = []
    claims: list[Claim] = []

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum([bool(self.rows), self.curve is not None, self.supervised is not None]) != 1:
            raise ValueError("exactly one of `rows`, `curve` and `supervised` is wanted")
        labels = [row.label for row in self.all_rows()]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"row {label!r} stands twice")
        for row in self.all_rows():
            if len(row.printed) != len(self.columns):
                raise ValueError(
                    f"row {row.label!r}: {len(row.printed)} printed numbers for {len(self.columns)} columns; use null"
                )
        for label in self.only or []:
            if label not in labels:
                raise ValueError(f"only: no row {label!r}{nearest(label, labels)}")
        return self

    def kept_rows(self) -> list[Row]:
        """Return the rows a scale keeps: those of ``only``, or all."""
        return [row for row in self.all_rows() if self.only is None or row.label in self.only]

    def has_row(self, label: str) -> bool:
        """Whether a scale keeps this row."""
        return any(row.label == label for row in self.kept_rows())

    def all_rows(self) -> list[Row]:
        """Return the rows, a curve's points and the supervised model included."""
        if self.curve:
            return self.curve.rows()
        if self.supervised:
            return [Row(label=self.supervised.label, printed=[None] * len(self.columns), default=True)]
        return list(self.rows)


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


def claim_problems(tables: dict[str, Table], named: Iterable[str], source: str) -> list[str]:
    """Say which claims speak of rows that don't exist; of tables ``named`` but left out by a scale nothing is known."""
    return [
        f"{source}: {name}: claim {claim.text!r}: {problem}"
        for name, table in tables.items()
        for claim in table.claims
        for problem in _unknown_rows(claim, table, tables, named)
    ]


def elsewhere(operand: Operand, table: Table, names: Iterable[str]) -> tuple[str, str] | None:
    """Split an operand that is a row of another table into the table's name and the row's label; None for any other."""
    if isinstance(operand, str) and ": " in operand and operand not in _labels(table):
        name, label = operand.split(": ", 1)
        return (name, label) if name in names else None
    return None


def kept_claims(table: Table, tables: dict[str, Table]) -> list[Claim]:
    """Return the claims that speak only of rows a scale keeps."""

    def is_kept(operand: Operand) -> bool:
        if isinstance(operand, float) or operand in [reference.label for reference in table.references]:
            return True
        other = elsewhere(operand, table, tables)
        return tables[other[0]].has_row(other[1]) if other else table.has_row(operand)

    whole = table.only is None or len(table.kept_rows()) == len(table.all_rows())
    return [
        claim
        for claim in table.claims
        if all(map(is_kept, claim.operands())) and (whole or not claim.speaks_of_all_rows())
    ]


def _labels(table: Table) -> list[str]:
    return [row.label for row in table.all_rows()] + [reference.label for reference in table.references]


def _unknown_rows(claim: Claim, table: Table, tables: dict[str, Table], named: Iterable[str]) -> Iterator[str]:
    """What is wrong with a claim's operands."""
    known = _labels(table)
    for operand in claim.operands():
        if isinstance(operand, float) or operand in known:
            continue
        other = elsewhere(operand, table, [*tables, *named])
        if other is None:
            yield f"no row {operand!r}{nearest(operand, known)}, or `TABLE: ROW` of another table"
        elif other[0] in tables:
            labels = [row.label for row in tables[other[0]].all_rows()]
            missing = {c.label for c in table.columns} - {c.label for c in tables[other[0]].columns}
            if other[1] not in labels:
                yield f"no row {other[1]!r} in {other[0]}{nearest(other[1], labels)}"
            elif missing:
                yield f"{other[0]} has no column {', '.join(sorted(missing))}"
