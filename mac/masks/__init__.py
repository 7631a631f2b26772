"""Foreground masks: from frame differences (Algorithm 1) or person boxes, and the card that judges a setting."""
