"""Real exports of real devices against their known content.

Where each comes from: docs/decisions/preprocessor-formats.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from preprocessor.inspection import inspect_recording
from preprocessor.prepare import prepare
from tests.unit.preprocessor.recordings import as_file, zipped

DERIVED = ("III", "aVR", "aVL", "aVF")
ALL = STANDARD_LEADS
#: file → format, leads, derived, rate, samples, lowest and highest mV of lead I
CONTENT = {
    "MUSE_XML/braveheart_example1.xml": ("muse", ALL, DERIVED, 500, 5000, -0.224, 1.215),
    "MUSE_XML/braveheart_example2.xml": ("muse", ALL, DERIVED, 500, 5000, -0.449, 1.025),
    "MUSE_XML/braveheart_example3.xml": ("muse", ALL, DERIVED, 500, 5000, -0.346, 1.127),
    "PHILIPS_SIERRA/v1_03_129DYPRG.XML": ("sierra", ALL, (), 500, 5264, -0.17, 0.87),
    "PHILIPS_SIERRA/v1_03_repbeats_example.xml": ("sierra", ALL, (), 500, 5264, -0.17, 0.87),
    "PHILIPS_SIERRA/v1_03_129DYNRG_stemi.XML": ("sierra", ALL, (), 500, 5264, -0.135, 0.54),
    "PHILIPS_SIERRA/v1_04_3191723_ZZDEMOPTONLY_utf16.xml": ("sierra", ALL, (), 500, 5300, -0.215, 0.23),
    "HL7_AECG/hl7_Example_aECG.xml": ("aecg", ALL, (), 500, 5000, -0.305, 0.415),
    "SCP/ecgtoolkit_Example.scp": ("scp", ALL, (), 500, 5000, -0.305, 0.415),
    "SCP/contec_0000050.ECG.scp": ("scp", ALL, (), 800, 32767, -0.315, 1.18),
    "CONTEC_ECG/0000050.ECG": ("contec", ALL, DERIVED, 800, 37855, -0.315, 1.18),
    "EDF/contec_0000050.ECG.edf": ("edf", ALL, (), 800, 37855, -1.907, 7.218),
    "DICOM/ge_12lead_median_sample.dcm": ("dicom", ALL, (), 500, 5000, -0.065, 0.615),
    "DERIVED/ishne_12lead_count_per_lead.ecg": ("ishne", ALL, (), 500, 5000, -0.305, 0.415),
    "DERIVED/kardia_6lead_camel_keys.json": ("kardia", ALL[:6], (), 300, 3000, -0.306, 0.414),
    "DERIVED/applewatch_en_dot.csv": ("apple-health", ("I",), (), 512, 15360, -0.306, 0.418),
    "HL7_AECG/fda_minimum_aecg.xml": ("aecg", ("II",), (), 500, 13, -0.022, -0.005),
}


@pytest.fixture
def formats(data_dir: Path) -> Path:
    return data_dir / "formats"


@pytest.mark.parametrize("name", CONTENT)
def test_true_content(formats: Path, name: str) -> None:
    kind, leads, derived, rate, samples, lowest, highest = CONTENT[name]
    recording = decode(as_file((formats / name).read_bytes()))
    assert (recording.format, recording.leads, recording.derived_leads) == (kind, leads, derived)
    assert (recording.sampling_rate, recording.samples) == (rate, samples)
    first = recording.millivolts[0]
    assert (first.min(), first.max()) == (pytest.approx(lowest, abs=1.5e-3), pytest.approx(highest, abs=1.5e-3))


def test_a_calibration_pulse_is_not_signal(formats: Path) -> None:
    recording = decode(as_file((formats / "PHILIPS_SIERRA/v1_03_129DYPRG.XML").read_bytes()))
    assert recording.remarks == ("FILLER_REMOVED",)
    assert np.ptp(recording.millivolts[:, -200:], axis=0).min() > 0


MEDIANS = {  # file → leads, samples and rate of the device's own averaged beat
    "MUSE_XML/braveheart_example1.xml": (8, 600, 500),
    "PHILIPS_SIERRA/v1_03_repbeats_example.xml": (12, 1200, 1000),
    "PHILIPS_SIERRA/v1_04_3191723_ZZDEMOPTONLY_utf16.xml": (12, 1200, 500),
    "HL7_AECG/hl7_Example_aECG.xml": (12, 599, 500),
    "SCP/ecgtoolkit_Example.scp": (12, 599, 500),
    "DICOM/ge_12lead_median_sample.dcm": (12, 600, 500),
}


@pytest.mark.parametrize("name", MEDIANS)
def test_the_median_beat_is_kept_apart(formats: Path, name: str) -> None:
    beat = decode(as_file((formats / name).read_bytes())).median_beat
    assert beat is not None
    assert (len(beat.leads), beat.millivolts.shape[1], beat.sampling_rate) == MEDIANS[name]
    assert 0.05 < np.nanmax(np.abs(beat.millivolts)) < 5


def test_one_recording_in_three_formats_has_one_hash(formats: Path) -> None:
    names = (
        "HL7_AECG/hl7_Example_aECG.xml",
        "SCP/ecgtoolkit_Example.scp",
        "DERIVED/ishne_12lead_count_per_lead.ecg",
    )
    made = [prepare(as_file((formats / name).read_bytes())) for name in names]
    assert len({m.signal_hash for m in made}) == 1
    assert len({m.tensor_hash for m in made}) == 1


def test_three_exports_of_one_contec_recording_agree(formats: Path) -> None:
    native, scp, edf = (
        decode(as_file((formats / name).read_bytes())).millivolts
        for name in ("CONTEC_ECG/0000050.ECG", "SCP/contec_0000050.ECG.scp", "EDF/contec_0000050.ECG.edf")
    )
    np.testing.assert_allclose(native[:2, :32767], scp[:2], atol=1e-9)
    # The EDF header makes every count 30.5 µV instead of 5 µV: the shape is right, the scale is not.
    factor = np.polyfit(native[0], edf[0], 1)[0]
    assert factor == pytest.approx(6.1, abs=0.05)


@pytest.mark.parametrize("name", ["sierra_invalid-doc-type.xml", "philips_mrx_WAVELIST.XML", "fda_empty_aecg.xml"])
def test_what_is_no_ecg_is_refused_in_one_line(formats: Path, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file((formats / "NOT_ECG_OR_BROKEN" / name).read_bytes()))
    assert caught.value.violations[0].field == "recording.file.content"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["PHILIPS_SIERRA/v1_04_3191723_ZZDEMOPTONLY_utf16.xml", "HL7_AECG/hl7_Example_aECG.xml"]
)
def test_no_identifier_of_a_real_file_leaves_the_decoder(formats: Path, name: str) -> None:
    """Every word of the file's texts that is no number, unit or name of a lead is looked for behind the decoder."""
    content = (formats / name).read_bytes()
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    marked = re.sub(
        r"(<(?:lastname|firstname|patientid|family|given|MRN|sex|comments?)[^/>]*>)([^<]*)<", r"\1Planted<", text
    )
    marked = re.sub(r'extension="[^"]*"', 'extension="Planted"', marked)
    assert marked.count("Planted") > 2
    encoded = marked.encode("utf-16") if "utf-16" in text[:60] else marked.encode()
    found = inspect_recording(as_file(encoded))
    assert found.samples > 5000 - 1
    assert "planted" not in (repr(found) + repr(found.recording) + json.dumps(found.to_json())).lower()


def test_a_contec_of_another_length_and_trailer(formats: Path) -> None:
    """As ecg-contec documents it: frames, a frame of zeros, and 21 bytes more that may be anything."""
    content = (formats / "CONTEC_ECG/0000050.ECG").read_bytes()
    cut = content[: 43 + 16 * 8000] + bytes(16) + b"\x01" * 21
    recording = decode(as_file(cut))
    assert (recording.leads, recording.samples) == (ALL, 8000)
    whole = decode(as_file(content))
    np.testing.assert_array_equal(recording.millivolts, whole.millivolts[:, :8000])


def test_channels_that_are_no_leads_are_kept_apart(formats: Path) -> None:
    recording = decode(as_file((formats / "EDF/wfdb_test_generator_2.edf").read_bytes()))
    assert recording.leads == ()
    assert len(recording.extra) == 11
    assert recording.sampling_rate == 200
    assert [c.millivolts is None for c in recording.extra].count(True) == 2
    ecg = next(c.millivolts for c in recording.extra if c.name == "ECG")
    assert ecg is not None
    assert len(ecg) == 120_000


@pytest.mark.parametrize(
    "name", [n for n in CONTENT if n.startswith(("MUSE", "PHILIPS", "HL7", "SCP/ecg", "DERIVED/i"))]
)
def test_every_cut_of_a_real_file_is_read_or_refused(formats: Path, name: str) -> None:
    content = (formats / name).read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        refusal: InvalidRequest | None = None
        try:
            decode(as_file(content[: int(len(content) * share)]))
        except InvalidRequest as error:
            refusal = error
        assert refusal is None or refusal.violations


def test_a_zip_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(zipped({"letter.txt": b"hello"})))
    assert caught.value.violations[0].reason == "UNKNOWN_FORMAT"
