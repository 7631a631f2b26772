"""Typed, strict experiment configuration: one model per stage, and the identity of each.

The fields are exactly what can change a result: devices, paths, workers and titles are not here, so nothing has to be
excluded from an id. A default, with its unit and the section it comes from, stands in ``config/default.yaml`` alone.
"""

# ruff: noqa: F401 (everything is imported from here)

from mac.config.data import BoxesConfig, DatasetConfig, DetectorConfig, LayoutName, StoreConfig, Synthetic
from mac.config.finetuning import (
    RETRIEVAL_KS,
    EvaluateConfig,
    FinetuneConfig,
    FinetuneSections,
    ProbeConfig,
    ProbeSections,
    StartConfig,
)
from mac.config.training import (
    ClipConfig,
    ColourConfig,
    ContrastConfig,
    MaskCheckConfig,
    MaskConfig,
    ModelConfig,
    OptimiserConfig,
    Precision,
    PretrainConfig,
    PretrainSections,
)
from mac.validation import Probability, Strict, Weight, read_config, write_config
