"""The whole way from bytes to tensor, and every refusal on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION, condition
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.quality import Grade
from cardiomesh.errors import InvalidRequest, UnfitRecording
from preprocessor.decoding import RecordingInput, SignalInput, decode
from preprocessor.prepare import Prepared, make_ready, prepare, read
from tests.unit.preprocessor.recordings import as_file, as_float, as_signal, heart, wfdb, zipped

Volts = npt.NDArray[np.float64]


def tensor_of(prepared: Prepared) -> npt.NDArray[np.float32]:
    return np.frombuffer(prepared.tensor, "<f4").reshape(-1, 12, 1000)


def test_ten_seconds_become_one_window() -> None:
    prepared = prepare(as_signal(heart()))
    assert prepared.window_starts == (0.0,)
    np.testing.assert_allclose(tensor_of(prepared)[0], condition(heart() * 1e-3, 500.0), atol=1e-6)
    assert prepared.preprocessing_version == PREPROCESSING_VERSION
    assert prepared.quality.grade is Grade.A


@pytest.mark.parametrize(("seconds", "starts"), [(9.8, (0.0,)), (15.0, (0.0, 5.0)), (60.0, tuple(range(0, 60, 10)))])
def test_windows_cover_the_whole_recording(seconds: float, starts: tuple[float, ...]) -> None:
    assert prepare(as_signal(heart(seconds))).window_starts == starts


@pytest.mark.parametrize("rate", [100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 512.0, 1000.0, 2000.0])
def test_every_usual_rate_gives_nearly_the_same_tensor(rate: float) -> None:
    fine, other = heart(noise=0.0), heart(rate=rate, noise=0.0)
    a, b = tensor_of(prepare(as_signal(fine))), tensor_of(prepare(as_signal(other, rate)))
    assert np.abs(a - b).max() < 0.03


def damage(how: Callable[[Volts], object]) -> RecordingInput:
    x = heart() * 1e-3
    how(x)
    return as_float(x)


def some(leads: Sequence[str], unit: str = "uV") -> RecordingInput:
    rows = [STANDARD_LEADS.index(lead) for lead in leads]
    return as_signal(heart()[rows], leads=tuple(leads), unit=unit)


REFUSED: dict[str, tuple[Callable[[], RecordingInput], type[InvalidRequest], str, str]] = {
    "three seconds": (lambda: as_signal(heart(3.0)), UnfitRecording, "recording.duration", "TOO_SHORT"),
    "two minutes": (lambda: as_signal(heart(120.0)), UnfitRecording, "recording.duration", "TOO_LONG"),
    "one sample a second": (
        lambda: as_signal(heart(), rate=1.0), InvalidRequest, "recording.sampling_rate", "RATE_OUT_OF_RANGE",
    ),
    "no rate": (lambda: as_signal(heart(), rate=0.0), InvalidRequest, "recording.sampling_rate", "RATE_OUT_OF_RANGE"),
    "rate is not a number": (
        lambda: as_signal(heart(), rate=float("nan")), InvalidRequest, "recording.sampling_rate", "RATE_OUT_OF_RANGE",
    ),
    "eleven leads": (
        lambda: some([x for x in STANDARD_LEADS if x != "V3"]),
        UnfitRecording, "recording.leads", "MISSING_LEADS",
    ),
    "six leads": (lambda: some(STANDARD_LEADS[:6]), UnfitRecording, "recording.leads", "MISSING_LEADS"),
    "one NaN": (
        lambda: damage(lambda x: x.__setitem__((4, 17), np.nan)),
        UnfitRecording, "recording.leads[aVL]", "MISSING_SAMPLES",
    ),
    "infinity": (
        lambda: damage(lambda x: x.__setitem__((0, 0), np.inf)),
        UnfitRecording, "recording.leads[I]", "MISSING_SAMPLES",
    ),
    "a flat lead": (
        lambda: damage(lambda x: x.__setitem__(7, 0.0)), UnfitRecording, "recording.leads[V2]", "FLAT",
    ),
    "a lead that falls off": (
        lambda: damage(lambda x: x.__setitem__((9, slice(2500, None)), 0.1)),
        UnfitRecording, "recording.leads[V4]", "CONTACT_LOSS",
    ),
    "a clipped lead": (
        lambda: damage(lambda x: x.__setitem__(10, np.clip(x[10] * 4, -0.4, 0.4))),
        UnfitRecording, "recording.leads[V5]", "SATURATED",
    ),
    "all flat": (lambda: as_signal(heart() * 0), UnfitRecording, "recording.amplitude", "NO_SIGNAL"),
    "microvolts called millivolts": (
        lambda: some(STANDARD_LEADS, unit="mV"), UnfitRecording, "recording.amplitude", "ABSURD_AMPLITUDE",
    ),
    "millivolts called microvolts": (
        lambda: as_float(heart() * 1e-3, unit="uV"), UnfitRecording, "recording.amplitude", "NO_SIGNAL",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_field_and_the_reason(case: str) -> None:
    make, error, field, reason = REFUSED[case]
    with pytest.raises(error) as caught:
        prepare(make())
    assert type(caught.value) is error
    assert (field, reason) in [(v.field, v.reason) for v in caught.value.violations]
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_the_missing_lead_is_named() -> None:
    leads = tuple(lead for lead in STANDARD_LEADS if lead != "V3")
    with pytest.raises(UnfitRecording, match="missing V3"):
        prepare(as_signal(heart()[[STANDARD_LEADS.index(x) for x in leads]], leads=leads))


def test_the_threshold_is_a_setting_but_a_loose_electrode_never_passes() -> None:
    noisy = heart() * 1e-3 + 0.12 * np.random.default_rng(3).standard_normal((12, 5000))
    with pytest.raises(UnfitRecording):
        prepare(as_float(noisy))
    assert prepare(as_float(noisy), reject_below=0.1).quality.score < 0.7
    noisy[3] = 0
    with pytest.raises(UnfitRecording, match="aVR"):
        prepare(as_float(noisy), reject_below=0.0)


def test_one_ecg_has_one_hash_in_every_container(dicom_file: bytes, tmp_path: Path) -> None:
    """1.25 µV steps, the hardest case: every odd count lies half-way between two canonical counts."""
    recording = decode(as_file(dicom_file))
    counts = np.rint(recording.millivolts / 1.25e-3).astype("<i2")
    made = {"dicom": prepare(as_file(dicom_file))}
    plain = SignalInput(STANDARD_LEADS, 1000.0, "uV", "int16", counts.tobytes(), scale=1.25)
    made["int16"] = prepare(RecordingInput(plain))
    made["float32 mV"] = prepare(as_float(recording.millivolts, 1000.0))
    made["float32 uV"] = prepare(as_float(recording.millivolts * 1e3, 1000.0, "uV"))
    with warnings.catch_warnings():  # wfdb 4.3 on pandas 3.1
        warnings.simplefilter("ignore")
        wfdb.wrsamp(
                "r", fs=1000, units=["mV"] * 12, sig_name=list(STANDARD_LEADS), d_signal=counts.T.astype(np.int64),
                fmt=["16"] * 12, adc_gain=[800.0] * 12, baseline=[0] * 12, write_dir=str(tmp_path),
            )  # fmt: skip
    files = {p.name: p.read_bytes() for p in (tmp_path / "r.hea", tmp_path / "r.dat")}
    made["wfdb"] = prepare(as_file(zipped(files)))
    hashes = {name: prepared.signal_hash for name, prepared in made.items()}
    tensors = {name: prepared.tensor_hash for name, prepared in made.items()}
    assert len(set(hashes.values())) == 1, hashes
    assert len(set(tensors.values())) == 1, tensors


def test_the_hash_tells_recordings_apart() -> None:
    counts = heart()
    base = prepare(as_signal(counts)).signal_hash
    counts[11, 4999] += 1
    assert prepare(as_signal(counts)).signal_hash != base
    assert prepare(as_signal(heart(), rate=501.0)).signal_hash != base


@pytest.mark.ptbxl
def test_no_real_ludb_record_is_refused(data_dir: Path) -> None:
    for number in range(1, 101):
        base = data_dir / "ludb" / str(number)
        content = zipped({p.name: p.read_bytes() for p in (base.with_suffix(".hea"), base.with_suffix(".dat"))})
        assert prepare(as_file(content)).quality.score >= 0.7, number


CHEST = STANDARD_LEADS[6:]


def without(*gone: str) -> RecordingInput:
    return some([lead for lead in STANDARD_LEADS if lead not in gone])


@pytest.mark.parametrize("gone", CHEST)
def test_where_the_card_allows_it_a_missing_lead_is_zeros_and_said(gone: str) -> None:
    whole, row = tensor_of(prepare(as_signal(heart()))), STANDARD_LEADS.index(gone)
    prepared = make_ready(read(without(gone), may_miss=CHEST))
    tensor = tensor_of(prepared)
    assert not tensor[:, row].any()
    np.testing.assert_array_equal(np.delete(tensor, row, axis=1), np.delete(whole, row, axis=1))
    assert prepared.quality.grade is Grade.C
    assert [(r.code, gone in r.message) for r in prepared.quality.reasons] == [("MISSING_LEAD", True)]
    assert prepared.signal_hash != prepare(as_signal(heart())).signal_hash
    with pytest.raises(UnfitRecording, match="score"):
        make_ready(read(without(gone), may_miss=CHEST), reject_below=0.8)


@pytest.mark.parametrize(
    ("gone", "may_miss"), [(("V3",), ()), (("V3",), ("V1", "V2")), (("V2", "V3"), CHEST), (("II",), STANDARD_LEADS[:1])]
)
def test_more_than_the_card_allows_is_refused(gone: tuple[str, ...], may_miss: tuple[str, ...]) -> None:
    with pytest.raises(UnfitRecording, match=f"missing .*{gone[0]}"):
        read(without(*gone), may_miss=may_miss)


def test_a_loose_electrode_is_seen_where_another_lead_is_missing() -> None:
    x = heart().astype(float)
    slow = np.convolve(np.random.default_rng(2).standard_normal(5100), np.hanning(100), "same")[:5000]
    x[7] = 300 * slow / slow.std()
    rows = [k for k in range(12) if k != 10]
    moved = as_signal(x[rows].astype(np.int16), leads=tuple(STANDARD_LEADS[k] for k in rows))
    with pytest.raises(UnfitRecording, match="V2"):
        make_ready(read(moved, may_miss=CHEST))
