"""What a caller has becomes a Recording, or one clear error."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.client._requests import recording_of
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest

SIGNAL = np.arange(24, dtype=np.float64).reshape(12, 2)


def test_floats_travel_as_little_endian_float32_lead_major() -> None:
    recording = recording_of({"signal": SIGNAL, "sampling_rate": 500})
    signal = recording.signal
    assert tuple(signal.leads) == STANDARD_LEADS
    assert (signal.unit, signal.sample_type) == ("mV", types_pb2.SAMPLE_TYPE_FLOAT32)
    assert np.array_equal(np.frombuffer(signal.samples, "<f4").reshape(12, 2), SIGNAL)


def test_int16_stays_int16_whatever_its_memory_order() -> None:
    array = np.asfortranarray(SIGNAL.astype(">i2"))
    signal = recording_of({"signal": array.astype(np.int16), "sampling_rate": 500, "unit": "uV"}).signal
    assert signal.sample_type == types_pb2.SAMPLE_TYPE_INT16
    assert np.array_equal(np.frombuffer(signal.samples, "<i2").reshape(12, 2), SIGNAL)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "recording"),
        ({"signal": SIGNAL, "sampling_rate": 500, "file": b"x"}, "recording"),
        ({"signal": SIGNAL}, "sampling_rate"),
        ({"signal": SIGNAL.T, "sampling_rate": 500}, "signal"),
        ({"signal": SIGNAL[0], "sampling_rate": 500}, "signal"),
        ({"signal": SIGNAL.astype(complex), "sampling_rate": 500}, "signal"),
        ({"signal": SIGNAL.astype(str), "sampling_rate": 500}, "signal"),
        ({"file": "no/such/file"}, "file"),
        ({"file": b"x", "age_years": -1}, "age_years"),
        ({"file": b"x", "sex": "f"}, "sex"),
    ],
)
def test_wrong_arguments_name_the_field(arguments: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        recording_of(arguments)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_wfdb_header_brings_its_signal_files_and_no_others(tmp_path: Path) -> None:
    outside = tmp_path / "outside.dat"
    outside.write_bytes(b"secret")
    folder = tmp_path / "record"
    folder.mkdir()
    (folder / "r.hea").write_text("r 2 500 10\nr.dat 16 200 16 0 0 0 0 I\n../outside.dat 16 200 16 0 0 0 0 II\n")
    (folder / "r.dat").write_bytes(b"1234")
    content = recording_of({"file": folder / "r.hea"}).file.content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == ["r.dat", "r.hea"]


def test_age_and_sex_travel_only_when_given() -> None:
    assert not recording_of({"file": b"x"}).HasField("patient")
    patient = recording_of({"file": b"x", "age_years": 0, "sex": "female"}).patient
    assert patient.HasField("age_years")
    assert patient.sex == types_pb2.SEX_FEMALE
