"""What a physician measures on an ECG, as typed values that say when there is none."""

from cardiomesh.ecg.measurements.measure import measure
from cardiomesh.ecg.measurements.result import (
    Beat,
    BeatKind,
    Intervals,
    LeadMeasurements,
    Measurements,
    Rhythm,
    Voltages,
)
from cardiomesh.ecg.values import Measurement, Status

__all__ = [
    "Beat",
    "BeatKind",
    "Intervals",
    "LeadMeasurements",
    "Measurement",
    "Measurements",
    "Rhythm",
    "Status",
    "Voltages",
    "measure",
]
