"""Where each wave of each beat begins, peaks and ends."""

from cardiomesh.ecg.delineation.marks import Delineation, FusedMarks, MedianBeat, WaveMarks
from cardiomesh.ecg.delineation.pipeline import LEAST_SECONDS, delineate

__all__ = ["LEAST_SECONDS", "Delineation", "FusedMarks", "MedianBeat", "WaveMarks", "delineate"]
