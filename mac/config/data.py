"""Configurations of the data stages: data set, frame store, person boxes."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, PositiveInt, model_validator

from mac.data.layouts import LAYOUTS
from mac.validation import Probability, Strict

LayoutName = Literal[*LAYOUTS]


class Synthetic(Strict):
    """How a synthetic data set is generated (see :mod:`mac.data.synthetic`)."""

    classes: Annotated[int, Field(ge=2, le=10)]
    videos_per_class: PositiveInt
    num_frames: Annotated[int, Field(ge=2)]
    seed: int


class DatasetConfig(Strict):
    """One data set: its name, layout, the subset of it that is used (null: all), and how it is generated if it is."""

    model_config = ConfigDict(populate_by_name=True)

    version: int = 1
    name: str
    layout: LayoutName
    subset: str | None
    synthetic: Synthetic | None = Field(alias="embedded")  # the spelling that is hashed

    @model_validator(mode="after")
    def _subset_of_real_data(self) -> Self:
        if self.subset and self.synthetic:
            raise ValueError(f"subset {self.subset!r} of synthetic data: generate fewer videos instead")
        return self

    @property
    def splits(self) -> tuple[int, ...]:
        """The splits this layout defines."""
        return LAYOUTS[self.layout].SPLITS


class StoreConfig(Strict):
    """A frame store: one data set at one frame size in pixels."""

    version: int = 2
    dataset: DatasetConfig
    width: PositiveInt
    height: PositiveInt


class DetectorConfig(Strict):
    """Where person boxes come from: a detector of torchvision's, or detections that come with the data set.

    ``min_score``: detections below it are dropped. ``every``: frames between two detections, each held until the next.
    ``min_share_of_frames``: a pretraining leaves out videos with detections in a smaller share of their frames.
    """

    came_later: ClassVar[dict[str, Any]] = {"min_share_of_frames": 0.0}
    detector: Literal["maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn", "published"]
    min_score: Probability
    every: PositiveInt
    min_share_of_frames: Probability = 0.0


class BoxesConfig(DetectorConfig):
    """The person boxes of one data set (supplementary §5)."""

    version: int = 1
    dataset: DatasetConfig
