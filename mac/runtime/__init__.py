"""What surrounds a run of the workflow: following its progress."""
