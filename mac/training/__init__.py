"""Pieces shared by the training loops: batches, optimiser and schedule, checkpoints, processor settings."""
