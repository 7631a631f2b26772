"""Configuration of what needs no finetuning: linear probe and retrieval on a backbone's features."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from mac.config.training import StartConfig
from mac.validation import Strict

RETRIEVAL_KS = (1, 5, 10, 20, 50)  # of retrieval: how many neighbours are looked at, as the field reports it


class ProbeSections(Strict):
    """How the linear probe chooses its penalty: among ``penalties``, by ``folds`` parts of the training groups."""

    penalties: Annotated[list[PositiveFloat], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]


class ProbeConfig(StartConfig, ProbeSections):
    """A linear probe and a retrieval on one backbone's frozen features; clips are those that finetuning tests on."""

    version: int = 1
    num_frames: PositiveInt
    size: PositiveInt
