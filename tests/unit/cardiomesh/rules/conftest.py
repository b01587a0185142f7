"""Facts for the rules: those of the real ECG that comes with pydicom, and single ones changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cardiomesh.ecg.measurements import Measurement
from cardiomesh.ecg.reasons import Reason
from cardiomesh.ecg.recording import Patient, Recording
from cardiomesh.ecg.values import absent, measured, not_evaluable
from cardiomesh.rules import Facts, RuleBook, load_rules
from preprocessor.decoding import RecordingInput, decode
from preprocessor.decoding.inputs import FileInput
from preprocessor.measuring import measurements_of

#: How a test says that a wave is not there, and that nobody can tell.
ABSENT = "absent"
UNKNOWN = "unknown"
MAN = Patient(60, "male")

Values = Mapping[tuple[str, str], Measurement]
Changed = Callable[..., Facts]


def values_of(recording: Recording) -> Values:
    """What the preprocessor measures, by key and lead."""
    return {(named.key, named.lead): named.value for named in measurements_of(recording)}


@pytest.fixture(scope="session")
def book() -> RuleBook:
    """The published rules."""
    return load_rules()


@pytest.fixture(scope="session")
def recording(ecg_file: Path) -> Recording:
    """A normal ECG: sinus rhythm of 61 per minute."""
    return decode(RecordingInput(FileInput(ecg_file.read_bytes())))


@pytest.fixture(scope="session")
def normal(recording: Recording) -> Values:
    """Its measurements."""
    return values_of(recording)


@pytest.fixture(scope="session")
def changed(normal: Values) -> Changed:
    """``changed({"intervals.pr": 220, "lead.q V1": ABSENT}, patient=…)``: the normal ECG with other values."""

    def make(changes: Mapping[str, float | str] | None = None, patient: Patient = MAN) -> Facts:
        values = dict(normal)
        for name, value in (changes or {}).items():
            key, _, lead = name.partition(" ")
            unit = values[key, lead].unit
            if value == ABSENT:
                values[key, lead] = absent(unit, Reason("GONE", "not there", "não há"))
            elif value == UNKNOWN:
                values[key, lead] = not_evaluable(unit, Reason("UNKNOWN", "nobody can tell", "não se sabe"))
            else:
                values[key, lead] = measured(float(value), unit)
        return Facts(values, patient)

    return make
