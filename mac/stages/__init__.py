"""Stages: the only training loops and the only readers of stage configs. They know neither MLflow nor Snakemake."""
