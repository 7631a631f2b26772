"""Reports: from results to tables, curve and summary. No torch, no checkpoints, no paths but those given."""
