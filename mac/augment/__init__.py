"""Augmentations of batched clips: parameters are drawn apart from their application."""
