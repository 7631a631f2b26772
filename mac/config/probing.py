"""Configuration of what needs no finetuning: linear probe and retrieval on a backbone's features."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mac.config.data import StoreConfig
from mac.config.strict import Strict
from mac.config.training import EvaluateConfig, ModelConfig, Precision

RETRIEVAL_KS = (1, 5, 10, 20, 50)  # of retrieval: how many neighbours are looked at, as the field reports it


class ProbeSections(Strict):
    """How the linear probe chooses its penalty: among ``penalties``, by ``folds`` parts of the training groups."""

    penalties: Annotated[list[PositiveFloat], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]


class ProbeConfig(ProbeSections):
    """A linear probe and a retrieval on one backbone's frozen features; clips are those that finetuning tests on."""

    version: int = 1
    seed: int
    split: Literal[1, 2, 3]
    store: StoreConfig
    model: ModelConfig
    precision: Precision
    initial: Literal["pretrained", "random", "kinetics400"]
    pretrain_id: str | None
    epoch: PositiveInt | None
    num_frames: PositiveInt
    size: PositiveInt
    evaluate: EvaluateConfig
