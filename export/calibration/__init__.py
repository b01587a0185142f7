"""Calibration, thresholds and prediction sets, all chosen on fold 9 alone."""
