"""MAC: mask-augmentation for motion-aware video representation learning, as a reproducible pipeline."""

__version__ = "0.1.0"
