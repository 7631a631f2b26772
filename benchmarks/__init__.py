"""Measured comparisons, each against its peers in one run: ``python -m benchmarks NAME`` (``make bench`` runs all)."""
