"""All measurements of one recording, from its delineation."""

from __future__ import annotations

from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.measurements.intervals import intervals
from cardiomesh.ecg.measurements.result import Measurements
from cardiomesh.ecg.measurements.rhythm import rhythm
from cardiomesh.ecg.measurements.waveforms import axis, lead_measurements, p_terminal_force, voltages
from cardiomesh.ecg.recording import Recording
from cardiomesh.errors import InvalidRequest

__all__ = ["measure"]


def measure(recording: Recording, delineation: Delineation) -> Measurements:
    """Measure ``recording`` with the delineation of its own ``millivolts``.

    A lead that is missing or carries no signal gives NOT_EVALUABLE wherever it is needed; a wave that is not there
    gives ABSENT. No value is ever a guess.
    """
    if len(delineation.usable) != len(recording.leads) or delineation.samples != recording.samples:
        raise InvalidRequest.field("delineation", "is of another recording", "MISMATCH")
    rows = {name: row for row, name in enumerate(recording.leads)}
    beats = rhythm(recording, delineation)
    leads = lead_measurements(delineation, rows, beats.p_waves)
    return Measurements(
        rhythm=beats,
        intervals=intervals(delineation, beats, recording.patient.age_years),
        p_axis=axis(delineation, rows, "P", beats.p_waves),
        qrs_axis=axis(delineation, rows, "QRS", beats.p_waves),
        t_axis=axis(delineation, rows, "T", beats.p_waves),
        voltages=voltages(leads, p_terminal_force(delineation, rows, beats.p_waves)),
        leads=leads,
    )
