"""Configurations of what trains on frames: its parts, the mask check and pretraining."""

from typing import Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mac.config.data import BoxesConfig, StoreConfig
from mac.methods import METHODS, Attenuate, MethodSettings, method_of
from mac.models.backbones import BACKBONES, NORM_EPSILON, PAPER, TORCHVISION
from mac.validation import Probability, Strict, Weight


class ClipConfig(Strict):
    """How a training clip is cut out of a video (method §3). A stride of 0 repeats one frame: a clip without motion."""

    came_later: ClassVar[dict[str, Any]] = {"crop": "random"}
    num_frames: Annotated[int, Field(ge=2)]
    strides: Annotated[list[NonNegativeInt], Field(min_length=1)]
    size: PositiveInt
    scales: Annotated[list[Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]], Field(min_length=1)]
    flip_probability: Probability
    crop: Literal["random", "centre"] = "random"

    @property
    def is_frozen(self) -> bool:
        """Whether no clip has any motion."""
        return not any(self.strides)

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        for width, height in self.scales:
            if min(width, height) < self.size:
                raise ValueError(f"a crop of {self.size} doesn't fit into frames of {width}×{height}")
        return self


class ColourConfig(Strict):
    """Probabilities of colour jitter (each of its three parts) and of grayscale, per clip; what hues do at red."""

    came_later: ClassVar[dict[str, Any]] = {"hue": "wrap"}
    jitter_probability: Probability
    gray_probability: Probability
    hue: Literal["wrap", "clip"] = "wrap"


class MaskConfig(Strict):
    """Where the foreground mask comes from (supplementary §2, §5, §7)."""

    source: Literal["frame_difference", "person_boxes"]
    preset: Literal["paper", "release"]
    momentum: Probability
    threshold: Annotated[float, Field(ge=0, le=255)]


class ContrastConfig(Strict):
    """Momentum contrast, MoCo v2."""

    weight: PositiveFloat
    queue: PositiveInt
    momentum: Probability
    temperature: PositiveFloat
    hidden: PositiveInt
    dim: PositiveInt
    symmetric: bool


class ModelConfig(Strict):
    """A backbone, the channels of its first stage (64 is torchvision's), and those between its convolutions' two steps.

    ``channels`` makes no difference to backbones that have no such steps. ``norm_epsilon`` is batch normalisation's ε.
    """

    came_later: ClassVar[dict[str, Any]] = {"channels": TORCHVISION, "norm_epsilon": NORM_EPSILON}
    backbone: Literal[*BACKBONES]
    width: Annotated[int, Field(ge=4)]
    channels: Literal[PAPER, TORCHVISION] = TORCHVISION
    norm_epsilon: PositiveFloat = NORM_EPSILON

    @property
    def network(self) -> tuple[str, int, str, float]:
        """What :func:`mac.models.backbones.build` takes."""
        return self.backbone, self.width, self.channels, self.norm_epsilon

    @model_validator(mode="before")
    @classmethod
    def _without_a_choice(cls, tree: Any) -> Any:
        is_fixed = isinstance(tree, dict) and tree.get("backbone") in BACKBONES
        if is_fixed and not BACKBONES[tree["backbone"]].has_channels and tree.get("channels") == PAPER:
            return tree | {"channels": TORCHVISION}
        return tree


Precision = Literal["fp32", "tf32", "bf16"]  # IEEE float32; TF32 products on GPUs that have it; bfloat16 autocast


class OptimiserConfig(Strict):
    """Optimiser, schedule and length of a training."""

    name: Literal["sgd", "adamw"]
    lr: PositiveFloat
    sgd_momentum: Probability
    weight_decay: Weight
    gradient_clip: PositiveFloat
    batch_size: PositiveInt
    epochs: PositiveInt
    schedule: Literal["step", "cosine"]
    milestones: list[PositiveInt]
    gamma: PositiveFloat
    warmup_epochs: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _milestones_inside(self) -> Self:
        if self.schedule == "step" and (
            self.milestones != sorted(set(self.milestones)) or any(m >= self.epochs for m in self.milestones)
        ):
            raise ValueError(f"milestones {self.milestones} must rise and lie before the last epoch, {self.epochs}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be fewer than epochs, {self.epochs}")
        return self


class PretrainSections(Strict):
    """The sections of a pretraining, as ``default.yaml`` writes them and as a resolved stage holds them.

    Without ``contrast`` it is MAC-S, without ``pretext`` momentum contrast between two natural views. ``attenuate`` is
    MAC's augmentation in the views of another method.
    """

    came_later: ClassVar[dict[str, Any]] = {"attenuate": None}
    clip: ClipConfig
    colour: ColourConfig
    mask: MaskConfig | None
    attenuate: Attenuate | None = None
    pretext: MethodSettings | None
    contrast: ContrastConfig | None
    optimiser: OptimiserConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.pretext is None and self.contrast is None:
            raise ValueError("pretext and contrast are both null: nothing is left to learn")
        if self.attenuate and self.clip.num_frames % self.attenuate.segments:
            raise ValueError(
                f"attenuate.segments {self.attenuate.segments} must divide clip.num_frames {self.clip.num_frames}"
            )
        if self.pretext:
            self.pretext.check(self.clip)
        keys = self.optimiser.batch_size * (2 if self.contrast and self.contrast.symmetric else 1)
        if self.contrast and self.contrast.queue < keys:
            raise ValueError(f"contrast.queue {self.contrast.queue} must hold the {keys} keys of one step")
        return self


class PretrainConfig(PretrainSections):
    """A pretraining by the method ``task``; checkpoint epochs are no part of it.

    ``pretext`` holds the method's own settings; ``mask`` and ``boxes`` are null where it needs none.
    """

    version: int = 1
    task: Literal[*METHODS]
    pretext: Union[*dict.fromkeys(method.Settings for method in METHODS.values()), None]
    seed: int
    split: Literal[1, 2, 3]
    store: StoreConfig
    boxes: BoxesConfig | None
    model: ModelConfig
    precision: Precision

    @model_validator(mode="after")
    def _method_has_what_it_needs(self) -> Self:
        if self.pretext is None and METHODS[self.task].needs_labels:
            raise ValueError("pretext: a supervised pretraining takes its head's dropout from there; it can't be null")
        if self.pretext and not isinstance(self.pretext, METHODS[self.task].Settings):
            raise ValueError(f"pretext: these are not the settings of the method {self.task!r}")
        if self.contrast is None and METHODS[self.task].needs_contrast:
            raise ValueError(f"contrast: the method {self.task!r} is nothing without it; it can't be null")
        if self.attenuate and METHODS[self.task].needs_mask and self.pretext:
            raise ValueError(f"attenuate: the method {self.task!r} attenuates its views already; set it to null")
        if self.mask is None and self.needs_mask:
            raise ValueError(f"mask: the method {self.task!r} needs one; it can't be null")
        synthetic, shortest = self.store.dataset.synthetic, method_of(self).shortest
        if synthetic and synthetic.num_frames < shortest:
            raise ValueError(
                f"clip: {self.method} needs videos of {shortest} frames; those of {self.store.dataset.name} have"
                f" {synthetic.num_frames} — shorten clip.num_frames, clip.strides or the method's interval"
            )
        return self

    @property
    def method(self) -> str:
        """What its method is called, with its variant: MAC-SC-2, for example."""
        return method_of(self).name + (" on MAC's clips" if self.attenuate else "")

    @property
    def needs_mask(self) -> bool:
        """Whether views are made with a foreground mask."""
        return method_of(self).needs_mask or self.attenuate is not None

    @property
    def mask_check(self) -> "MaskCheckConfig | None":
        """The mask check that must pass before this pretraining may start; None where its method needs no mask."""
        if not self.needs_mask:
            return None
        return MaskCheckConfig(store=self.store, boxes=self.boxes, split=self.split, clip=self.clip, mask=self.mask)


class MaskCheckConfig(Strict):
    """A mask check: one mask setting on the clips of one data set."""

    hashed_name = "CardConfig"
    version: int = 1
    store: StoreConfig
    boxes: BoxesConfig | None
    split: Literal[1, 2, 3]
    clip: ClipConfig
    mask: MaskConfig
