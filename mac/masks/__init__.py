"""Foreground masks: from frame differences (Algorithm 1) or person boxes, and the check that judges a setting."""
