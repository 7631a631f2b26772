"""Typed, strict experiment configuration: one model per stage, and the identity of each.

The fields are exactly what can change a result: devices, paths, workers and titles are not here, so nothing has to be
excluded from an id. A default, with its unit and the section it comes from, stands in ``config/default.yaml`` alone.
"""

from mac.config.data import BoxesConfig, DatasetConfig, DetectorConfig, LayoutName, StoreConfig, Synthetic
from mac.config.probing import RETRIEVAL_KS, ProbeConfig, ProbeSections
from mac.config.training import (
    ClipConfig,
    ColourConfig,
    ContrastConfig,
    EvaluateConfig,
    FinetuneConfig,
    MaskCheckConfig,
    MaskConfig,
    ModelConfig,
    OptimiserConfig,
    Precision,
    PretrainConfig,
    PretrainSections,
    StartConfig,
)
from mac.validation import Probability, Strict, Weight, read_config, write_config

__all__ = [
    "RETRIEVAL_KS",
    "BoxesConfig",
    "ClipConfig",
    "ColourConfig",
    "ContrastConfig",
    "DatasetConfig",
    "DetectorConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "LayoutName",
    "MaskCheckConfig",
    "MaskConfig",
    "ModelConfig",
    "OptimiserConfig",
    "Precision",
    "PretrainConfig",
    "PretrainSections",
    "Probability",
    "ProbeConfig",
    "ProbeSections",
    "StartConfig",
    "StoreConfig",
    "Strict",
    "Synthetic",
    "Weight",
    "read_config",
    "write_config",
]
