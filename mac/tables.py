"""``tables.yaml`` as typed data: tables, their rows and columns, printed numbers and claims."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mac.config import Strict
from mac.validation import ConfigError, nearest, validate, validate_each

RANDOM_INIT = "random init"


class Column(Strict):
    """A column: a label and what it overrides."""

    label: str
    set: dict[str, Any] = {}


class Row(Strict):
    """A row: a label, the printed top-1 of each column [percent], and exactly one of set, default and cited."""

    label: str
    printed: list[float | None]
    set: dict[str, Any] = {}
    default: bool = False
    cited: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum([bool(self.set), self.default, self.cited]) != 1:
            raise ValueError(
                f"row {self.label!r} overrides nothing: give it `set`, or mark it `default: true` or `cited: true`"
                if not (self.set or self.default or self.cited)
                else f"row {self.label!r}: exactly one of `set`, `default` and `cited` is allowed"
            )
        return self


class Claim(Strict):
    """What the paper claims of a table: one row is best in every column, or one row is greater than another."""

    text: str
    best: str | None = None
    greater: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.best is None) == (self.greater is None):
            raise ValueError(f"claim {self.text!r}: exactly one of `best` and `greater` is wanted")
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
    """A table, a curve, or the figures' supervised row."""

    title: str
    columns: Annotated[list[Column], Field(min_length=1)]
    rows: list[Row] = []
    only: list[str] | None = None
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
        for claim in self.claims:
            for label in [claim.best] if claim.best else claim.greater or []:
                if label not in labels:
                    raise ValueError(f"claim {claim.text!r}: no row {label!r}{nearest(label, labels)}")
        return self

    def kept_rows(self) -> list[Row]:
        """Return the rows a scale keeps: those of ``only``, or all."""
        return [row for row in self.all_rows() if self.only is None or row.label in self.only]

    def kept_claims(self) -> list[Claim]:
        """Return the claims that speak of kept rows alone."""
        kept = {row.label for row in self.kept_rows()}
        spoken = [(claim, {claim.best} if claim.best else set(claim.greater or [])) for claim in self.claims]
        return [claim for claim, labels in spoken if labels <= kept and (claim.greater or len(kept) > 1)]

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
