"""Configurations of what starts from given weights: finetuning with its test, and the probe."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mac.config.data import StoreConfig
from mac.config.training import ClipConfig, ColourConfig, ModelConfig, OptimiserConfig, Precision
from mac.validation import Probability, Strict

RETRIEVAL_KS = (1, 5, 10, 20, 50)  # of retrieval: how many neighbours are looked at, as the field reports it


class EvaluateConfig(Strict):
    """Testing: ``num_clips`` clips spread evenly over a video, logits averaged (method §3)."""

    came_later: ClassVar[dict[str, Any]] = {"positions": "ends"}
    num_clips: PositiveInt
    stride: PositiveInt
    scale: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    positions: Literal["ends", "centres"] = "ends"


class StartConfig(Strict):
    """What a finetuning or a probe starts from, and the data it is tested on.

    ``initial``: ``pretrained`` (a checkpoint, named by ``pretrain_id`` and ``epoch``), ``random``, or ``kinetics400``
    (torchvision's supervised weights).
    """

    seed: int
    split: Literal[1, 2, 3]
    store: StoreConfig
    model: ModelConfig
    precision: Precision
    initial: Literal["pretrained", "random", "kinetics400"]
    pretrain_id: str | None
    epoch: PositiveInt | None
    evaluate: EvaluateConfig


class FinetuneSections(Strict):
    """The sections of a finetuning, as ``default.yaml`` writes them and as a resolved stage holds them.

    ``shuffle_labels`` permutes the training videos' labels: a control, whose test is at chance.
    """

    videos_per_class: PositiveInt | None
    shuffle_labels: bool
    clip: ClipConfig
    colour: ColourConfig
    dropout: Probability
    optimiser: OptimiserConfig
    evaluate: EvaluateConfig

    @model_validator(mode="after")
    def _scale_fits(self) -> Self:
        if min(self.evaluate.scale) < self.clip.size:
            raise ValueError(f"evaluate.scale {self.evaluate.scale} is smaller than clip.size {self.clip.size}")
        return self


class FinetuneConfig(StartConfig, FinetuneSections):
    """A finetuning and its evaluation.

    ``label_draw`` draws the ``videos_per_class``, alike for all seeds and rows; where it is null, the seed draws them.
    """

    came_later: ClassVar[dict[str, Any]] = {"label_draw": None}
    version: int = 1
    label_draw: int | None = None


class ProbeSections(Strict):
    """How the linear probe chooses its penalty: among ``penalties``, by ``folds`` parts of the training groups."""

    penalties: Annotated[list[PositiveFloat], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]


class ProbeConfig(StartConfig, ProbeSections):
    """A linear probe and a retrieval on one backbone's frozen features; clips are those that finetuning tests on."""

    version: int = 1
    num_frames: PositiveInt
    size: PositiveInt
