"""Temperatures and thresholds, chosen on fold 9 alone."""
