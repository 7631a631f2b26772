"""Claims as ``tables.yaml`` writes them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from mac.validation import Strict

Operand = str | float
Pair = Annotated[list[Operand], Field(min_length=2, max_length=2)]
Rows = Annotated[list[str], Field(min_length=2, max_length=2)]


class Expression(Strict):
    """What a claim compares: exactly one of these keys is given.

    ``best: ROW`` is above every other row, in every column. ``greater: [A, B]`` says A > B, ``at_least: [A, B]`` says
    A ≥ B + by − margin, ``at_most: [A, B]`` says A ≤ B + by (all in points). ``groups: [ROW, OTHER]`` says that some
    test video is right by ROW only, some by OTHER only, and some by neither; ``focus: [ROW, OTHER]`` that ROW's class
    activation maps have more of their mass on what moves (§10). ``all`` is a conjunction. An operand is a row of this
    table, ``TABLE: ROW`` of another one, the label of one of this table's references (somebody else's number), or a
    number [percent] that is known exactly, like chance.
    """

    best: str | None = None
    greater: Pair | None = None
    at_least: Pair | None = None
    at_most: Pair | None = None
    by: float = 0.0
    margin: Annotated[float, Field(ge=0)] | None = None
    groups: Rows | None = None
    focus: Rows | None = None
    all: Annotated[list["Expression"], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = ("best", "greater", "at_least", "at_most", "groups", "focus", "all")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(f"`{kind}`" for kind in given) or "none of them"
            raise ValueError(f"exactly one of {', '.join(kinds[:-1])} and {kinds[-1]} is wanted, found {found}")
        if (self.margin is None) == (self.at_least is not None):
            raise ValueError("`at_least` wants a `margin` [points]; nothing else takes one")
        if self.by and self.at_least is None and self.at_most is None:
            raise ValueError("`by` [points] belongs to `at_least` or `at_most`")
        if any(part.groups or part.focus for part in self.all or []):
            raise ValueError("`groups` and `focus` can't be parts of `all`; make each a claim of its own")
        return self

    def operands(self) -> list[Operand]:
        """Return every operand, those of a conjunction's parts included."""
        pair = self.greater or self.at_least or self.at_most or self.groups or self.focus or []
        own = [self.best] if self.best is not None else pair
        return [*own, *(operand for part in self.all or [] for operand in part.operands())]

    def speaks_of_all_rows(self) -> bool:
        """Whether the table's other rows are meant too."""
        return self.best is not None or any(part.speaks_of_all_rows() for part in self.all or [])


class Claim(Expression):
    """One claim: its wording, and the comparison of cells that it stands for: in these ``columns``, or in all."""

    text: str
    columns: Annotated[list[str], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _columns_compared(self) -> Self:
        if self.columns and (self.groups or self.focus):
            raise ValueError("`groups` and `focus` are of the first column; leave `columns` out")
        return self
