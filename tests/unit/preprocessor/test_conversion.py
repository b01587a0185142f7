"""Converted files, opened by other people's readers."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pyedflib
import pytest

from cardiomesh.ecg.hashing import canonical, signal_hash
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.recording import ExtraChannel, MedianBeat, Patient, Recording
from cardiomesh.errors import InvalidRequest
from preprocessor.conversion import CONVERSIONS, convert, losses
from preprocessor.decoding import decode
from preprocessor.prepare import prepare
from tests.unit.preprocessor.recordings import as_file, as_signal, heart, wfdb


@pytest.fixture
def recording() -> Recording:
    return replace(decode(as_signal(heart())), patient=Patient(61, "female"))


def test_pydicom_opens_the_dicom(recording: Recording) -> None:
    dataset = pydicom.dcmread(io.BytesIO(convert(recording, "dcm")))
    assert dataset.SOPClassUID.name == "12-lead ECG Waveform Storage"
    assert (dataset.PatientAge, dataset.PatientSex, dataset.PatientName) == ("061Y", "F", "")
    np.testing.assert_allclose(dataset.waveform_array(0).T * 1e-3, recording.millivolts, atol=1e-9)


def test_pyedflib_opens_the_edf(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "r.edf"
    path.write_bytes(convert(recording, "edf"))
    with pyedflib.EdfReader(str(path)) as reader:
        assert reader.getSignalLabels() == [f"ECG {lead}" for lead in STANDARD_LEADS]
        assert reader.getSampleFrequency(0) == 500
        signals = np.stack([reader.readSignal(k) for k in range(12)])
    np.testing.assert_allclose(signals * 1e-3, recording.millivolts, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_wfdb_opens_the_wfdb(recording: Recording, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(convert(recording, "wfdb"))) as archive:
        archive.extractall(tmp_path)
    record = wfdb.rdrecord(str(tmp_path / "ecg"))
    assert record.sig_name == list(STANDARD_LEADS)
    np.testing.assert_allclose(record.p_signal.T, recording.millivolts, atol=1e-9)


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_every_kind_keeps_the_hash(recording: Recording, kind: str) -> None:
    assert prepare(as_file(convert(recording, kind))).signal_hash == prepare(as_signal(heart())).signal_hash


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_quarter_microvolts_lose_at_most_a_twentieth(dicom_file: bytes, kind: str) -> None:
    recording = decode(as_file(dicom_file))
    again = decode(as_file(convert(recording, kind)))
    assert (again.leads, again.sampling_rate, again.samples) == (STANDARD_LEADS, 1000.0, 10_000)
    assert np.abs(again.millivolts - recording.millivolts).max() <= 0.051e-3


@pytest.mark.parametrize("step", [1.25, 2.44, 2.5, 4.88])
@pytest.mark.parametrize("kind", CONVERSIONS)
def test_the_step_of_a_recorder_loses_nothing(recording: Recording, kind: str, step: float) -> None:
    own = replace(recording, millivolts=np.rint(recording.millivolts / (step * 1e-3)) * step * 1e-3)
    again = decode(as_file(convert(own, kind)))
    assert signal_hash(canonical(again.millivolts), 500) == signal_hash(canonical(own.millivolts), 500)
    assert losses(own, again) == (("left out: age and sex",) if kind in ("edf", "csv") else ())


@pytest.mark.parametrize(("rate", "samples"), [(800.0, 37_855 // 4), (300.0, 3001), (1000.0, 9999)])
def test_pyedflib_opens_lengths_that_no_second_divides(
    recording: Recording, tmp_path: Path, rate: float, samples: int
) -> None:
    odd = replace(recording, millivolts=np.resize(recording.millivolts, (12, samples)), sampling_rate=rate)
    path = tmp_path / "r.edf"
    path.write_bytes(convert(odd, "edf"))
    with pyedflib.EdfReader(str(path)) as reader:
        assert reader.getSampleFrequency(0) == pytest.approx(rate, abs=1e-3)
        assert reader.getNSamples().tolist() == [samples] * 12
    assert decode(as_file(path.read_bytes())).sampling_rate == pytest.approx(rate, rel=1e-6)


def test_what_is_lost_is_said(recording: Recording) -> None:
    fine = replace(
        recording,
        millivolts=recording.millivolts * np.pi,
        extra=(ExtraChannel("V7"),),
        median_beat=MedianBeat(("I",), np.zeros((1, 10)), 500.0),
    )
    assert losses(fine, decode(as_file(convert(fine, "wfdb"))))[-1] == "left out: channel V7, the device's median beat"
    noise = np.random.default_rng(1).normal(size=recording.millivolts.shape) * 1e-3
    large = replace(recording, millivolts=recording.millivolts * 10 + noise)
    (change,) = losses(large, decode(as_file(convert(large, "dcm"))))
    assert change.startswith("amplitudes change by up to 0.")


def test_what_cannot_be_written(recording: Recording) -> None:
    with pytest.raises(InvalidRequest, match="can write"):
        convert(recording, "doc")
    holes = recording.millivolts.copy()
    holes[0, 0] = np.nan
    with pytest.raises(InvalidRequest, match="missing"):
        convert(replace(recording, millivolts=holes), "edf")
