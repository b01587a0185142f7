"""Vendors' formats without vendors' files: conformant synthetics, and one aECG that BioSig wrote."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from preprocessor.inspection import inspect_recording
from tests.unit.preprocessor.decoding.writers import PLANTED, WRITERS, atc, cardiosoft, mortara, schiller, scp
from tests.unit.preprocessor.recordings import as_file, heart

AECG = Path(__file__).parent / "data" / "biosig_aecg.xml.gz"
MEDIANS = {"cardiosoft", "schiller", "mortara", "muse", "kardia-atc"}


@pytest.mark.parametrize("name", WRITERS)
def test_content_is_what_was_written(name: str) -> None:
    counts = heart()
    recording = decode(as_file(WRITERS[name](counts)))
    assert recording.format == name
    assert recording.leads == (STANDARD_LEADS[:6] if name == "kardia" else STANDARD_LEADS)
    assert (recording.sampling_rate, recording.samples, recording.remarks) == (500, 5000, ())
    np.testing.assert_allclose(recording.millivolts, counts[: len(recording.leads)] * 1e-3, atol=1e-12)
    assert recording.acquired_at is not None
    assert recording.acquired_at.replace(tzinfo=None).isoformat() == "2020-03-04T09:10:11"


@pytest.mark.parametrize("name", MEDIANS)
def test_the_median_beat_is_kept_apart(name: str) -> None:
    counts = heart()
    beat = decode(as_file(WRITERS[name](counts))).median_beat
    assert beat is not None
    assert (beat.sampling_rate, beat.millivolts.shape[1]) == (500, 500 if name == "schiller" else 600)
    rows = [STANDARD_LEADS.index(lead) for lead in beat.leads]
    np.testing.assert_allclose(beat.millivolts, counts[rows, : beat.millivolts.shape[1]] * 1e-3, atol=1e-12)


@pytest.mark.parametrize("name", ["scp", "ishne", "mfer", "cardiosoft", "schiller", "mortara", "muse"])
def test_age_and_sex_are_kept(name: str) -> None:
    patient = decode(as_file(WRITERS[name](heart(2.0)))).patient
    assert (patient.age_years, patient.sex) == (88, "female")


def said(value: Any) -> str:
    """Every word of a Recording, however deep."""
    if is_dataclass(value):
        return " ".join(said(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple | list):
        return " ".join(map(said, value))
    return "" if isinstance(value, np.ndarray) else str(value)


@pytest.mark.parametrize("name", WRITERS)
def test_no_identifier_leaves_the_decoder(name: str) -> None:
    content = WRITERS[name](heart(2.0))
    assert any(planted.encode() in content for planted in PLANTED)
    found = inspect_recording(as_file(content))
    words = (said(found.recording) + json.dumps(found.to_json())).lower()
    assert [planted for planted in PLANTED if planted.lower() in words] == []


def test_an_aecg_that_biosig_wrote() -> None:
    recording = decode(as_file(gzip.decompress(AECG.read_bytes())))
    assert (recording.format, recording.leads, recording.sampling_rate) == ("aecg", STANDARD_LEADS, 500)
    np.testing.assert_allclose(recording.millivolts, heart() * 1e-3, atol=1e-12)


def test_a_full_disclosure_is_read_where_there_is_no_strip() -> None:
    counts = heart(4.0)
    flat = ",".join(map(str, counts.T.reshape(-1)))
    xml = (
        "<CardiologyXML><FullDisclosure><NumberOfChannels>12</NumberOfChannels><SampleRate>500</SampleRate>"
        f'<Resolution units="uVperLsb">2</Resolution><LeadOrder>{", ".join(STANDARD_LEADS)}</LeadOrder>'
        f"<FullDisclosureData>{flat},</FullDisclosureData></FullDisclosure></CardiologyXML>"
    )
    recording = decode(as_file(xml.encode()))
    np.testing.assert_allclose(recording.millivolts, counts * 2e-3, atol=1e-12)


def test_a_damaged_average_does_not_cost_the_rhythm() -> None:
    counts = heart(2.0)
    for content in (
        re.sub(rb'(lead="I">\s*)[-\d]+', rb"\1many", cardiosoft(counts), count=1),
        re.sub(rb"<data>[-\d]+", b"<data>many", schiller(counts), count=1),
    ):
        recording = decode(as_file(content))
        assert recording.median_beat is None
        np.testing.assert_allclose(recording.millivolts, counts * 1e-3, atol=1e-12)


def test_a_missing_sample_is_missing() -> None:
    xml = re.sub(rb'(lead="V6">\s*)[-\d]+,', rb"\1 ,", cardiosoft(heart(2.0)))
    assert np.argwhere(np.isnan(decode(as_file(xml)).millivolts)).tolist() == [[11, 0]]


def test_an_scp_that_counts_from_zero() -> None:
    counts = heart(2.0)
    content = scp(counts)
    shifted = content.replace((1).to_bytes(4, "little") + (1000).to_bytes(4, "little"), bytes(4) + b"\xe7\3\0\0")
    assert shifted != content
    recording = decode(as_file(shifted))
    np.testing.assert_allclose(recording.millivolts, counts * 1e-3, atol=1e-12)
    assert recording.remarks == ("CHECKSUM_MISMATCH",)


def test_a_damaged_block_of_an_atc_is_remarked() -> None:
    content = bytearray(atc(heart(2.0)))
    at = content.index(b"ecg3") + 100
    content[at] ^= 1
    assert decode(as_file(bytes(content))).remarks == ("CHECKSUM_MISMATCH",)


REFUSALS: dict[str, tuple[Callable[[], bytes], str]] = {
    "CardioSoft without a rhythm": (lambda: b"<CardiologyXML></CardiologyXML>", "NO_RHYTHM"),
    "CardioSoft of no unit": (lambda: cardiosoft(heart(1.0)).replace(b"uVperLsb", b"furlong"), "UNKNOWN_UNIT"),
    "CardioSoft of negative scale": (
        lambda: cardiosoft(heart(1.0)).replace(b'"uVperLsb">1<', b'"uVperLsb">-1<'),
        "BAD_SCALE",
    ),
    "CardioSoft at 0 Hz": (lambda: cardiosoft(heart(1.0)).replace(b'"Hz">500<', b'"Hz">0<'), "RATE_OUT_OF_RANGE"),
    "CardioSoft with words for samples": (
        lambda: re.sub(rb'(lead="I">\s*)[-\d]+', rb"\1many", cardiosoft(heart(1.0))),
        "MALFORMED",
    ),
    "CardioSoft with a short lead": (
        lambda: re.sub(rb'(lead="I">\s*)[-\d]+,', rb"\1", cardiosoft(heart(1.0))),
        "WRONG_LENGTH",
    ),
    "Schiller without a rhythm": (lambda: schiller(heart(1.0)).replace(b"ECG_RHYTHMS", b"OTHER"), "NO_RHYTHM"),
    "Schiller at kilohertz": (
        lambda: schiller(heart(1.0)).replace(b"<exponent>1<", b"<exponent>3<"),
        "UNSUPPORTED",
    ),
    "Schiller compressed": (lambda: schiller(heart(1.0)).replace(b"COMMASEPARATE", b"PACKED"), "UNSUPPORTED"),
    "Mortara packed otherwise": (lambda: mortara(heart(1.0)).replace(b"BASE64", b"HUFFMAN"), "UNSUPPORTED"),
    "ATC cut off": (lambda: atc(heart(1.0))[:-3000], "TRUNCATED"),
    "ATC of no leads": (lambda: atc(heart(1.0)).replace(b"ecg", b"xyz"), "NO_RHYTHM"),
    "ATC without a scale": (lambda: atc(heart(1.0)).replace(b"\xf4\x01\xe8\x03", b"\xf4\x01\0\0"), "BAD_SCALE"),
    "ATC without a format": (lambda: b"ALIVE\0\0\0\5\0\0\0", "MALFORMED"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    make, reason = REFUSALS[case]
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(make()))
    assert [v.reason for v in caught.value.violations] == [reason]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_every_cut_is_read_or_refused(name: str) -> None:
    content = WRITERS[name](heart(2.0))
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        refusal: InvalidRequest | None = None
        try:
            decode(as_file(content[: int(len(content) * share)]))
        except InvalidRequest as error:
            refusal = error
        assert refusal is None or refusal.violations
