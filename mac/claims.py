"""What ``tables.yaml`` may claim: expressions over cells."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from mac.config import Strict

Operand = str | float
Pair = Annotated[list[Operand], Field(min_length=2, max_length=2)]


class Expression(Strict):
    """What can be claimed: exactly one of these.

    ``best: ROW`` is above every other row, in every column. ``greater: [A, B]`` says A > B, ``at_least: [A, B]`` says
    A ≥ B + by − margin (both in points). ``groups: [ROW, OTHER]`` says that some test video is right by ROW only, some
    by OTHER only, and some by neither. ``all`` is a conjunction. An operand is a row of this table, ``TABLE: ROW`` of
    another one, the label of one of this table's references (somebody else's number), or a number [percent] that is
    known exactly, like chance.
    """

    best: str | None = None
    greater: Pair | None = None
    at_least: Pair | None = None
    by: float = 0.0
    margin: Annotated[float, Field(ge=0)] | None = None
    groups: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    all: Annotated[list["Expression"], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = ("best", "greater", "at_least", "groups", "all")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(f"`{kind}`" for kind in given) or "none of them"
            raise ValueError(f"exactly one of best, greater, at_least, groups and all is wanted, found {found}")
        if (self.margin is None) == (self.at_least is not None) or (self.by and self.at_least is None):
            raise ValueError("`at_least` wants a `margin` [points] and takes `by`; nothing else takes them")
        if any(part.groups for part in self.all or []):
            raise ValueError("`groups` is counted, not tested: it can't be a part of `all`; make it a claim of its own")
        return self

    def operands(self) -> list[Operand]:
        """Return every operand, those of a conjunction's parts included."""
        own = [self.best] if self.best is not None else self.greater or self.at_least or self.groups or []
        return [*own, *(operand for part in self.all or [] for operand in part.operands())]

    def speaks_of_all_rows(self) -> bool:
        """Whether the table's other rows are meant too."""
        return self.best is not None or any(part.speaks_of_all_rows() for part in self.all or [])


class Claim(Expression):
    """One claim: its words, and what they say of cells."""

    text: str
