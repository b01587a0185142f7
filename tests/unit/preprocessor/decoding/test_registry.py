"""Recognition by content, and the promise that nothing untyped ever leaves a reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardiomesh.ecg.recording import Device, Patient
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import FileInput, RecordingInput, decode
from tests.unit.preprocessor.recordings import as_file, as_signal, heart, zipped


def test_nothing_sent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(RecordingInput(None))
    assert [v.reason for v in caught.value.violations] == ["EMPTY"]


@pytest.mark.parametrize("content", [b"", b"hello, I am a letter", b"%PDF-1.7", bytes(5000), b"PK\x03\x04 not a zip"])
def test_what_is_no_ecg_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(content))
    assert caught.value.violations[0].field == "recording.file.content"


@pytest.mark.parametrize("hint", ["", "wfdb", "muse", "nonsense"])
def test_a_hint_never_overrides_the_content(dicom_file: bytes, hint: str) -> None:
    assert decode(as_file(dicom_file, hint)).format == "dicom"


def test_what_the_caller_states_overrides_the_file(dicom_file: bytes) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    request = RecordingInput(
        FileInput(dicom_file), acquired_at=when, device=Device("Acme", "One"), patient=Patient(95, "male")
    )
    recording = decode(request)
    assert recording.acquired_at == when
    assert recording.device == Device("Acme", "One")
    assert recording.patient == Patient(89, "male")


def test_statements_are_checked() -> None:
    request = replace(as_signal(heart()), patient=Patient(age_years=131), subject_ref="x" * 129)
    with pytest.raises(InvalidRequest) as caught:
        decode(request)
    assert {v.reason for v in caught.value.violations} == {"OUT_OF_RANGE", "TOO_LONG"}


def read_or_refuse(content: bytes) -> None:
    refusal: InvalidRequest | None = None
    try:
        decode(as_file(content))
    except InvalidRequest as error:
        refusal = error
    if refusal is not None:
        assert refusal.violations
        assert "\n" not in str(refusal)


@given(st.binary(max_size=2000))
def test_random_bytes(content: bytes) -> None:
    read_or_refuse(content)


@given(st.binary(max_size=600))
def test_random_bytes_that_claim_to_be_dicom(content: bytes) -> None:
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    read_or_refuse(bytes(128) + b"DICM" + meta + content)


@given(header=st.text(max_size=300), data=st.binary(max_size=300))
def test_random_headers(header: str, data: bytes) -> None:
    read_or_refuse(zipped({"r.hea": header.encode("utf-8", "replace"), "r.dat": data}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, 8000), value=st.integers(0, 255), cut=st.integers(0, 291_088))
def test_a_damaged_real_dicom(dicom_file: bytes, position: int, value: int, cut: int) -> None:
    damaged = bytearray(dicom_file)
    damaged[position] = value
    read_or_refuse(bytes(damaged))
    read_or_refuse(bytes(damaged[:cut]))
