"""Tracking: a journal of events per run, and its replay into MLflow."""
