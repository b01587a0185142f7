"""``inspect``: strange files described, and only what is no ECG refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.inspection import inspect_recording
from preprocessor.prepare import prepare
from preprocessor.remarks import REMARKS, in_words
from tests.unit.preprocessor.conftest import ROOT
from tests.unit.preprocessor.recordings import as_file, as_float, as_signal, heart


def test_a_real_dicom(dicom_file: bytes) -> None:
    found = inspect_recording(as_file(dicom_file))
    assert (found.format, found.model, found.sampling_rate, found.samples) == ("dicom", "el250", 1000.0, 10_000)
    assert [c.name for c in found.channels] == list(STANDARD_LEADS)
    assert found.problems == ()
    assert found.signal_hash == prepare(as_file(dicom_file)).signal_hash
    shown = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert shown["analysable"] is True
    assert shown["quality"]["grade"] in "ABC"


def test_what_cannot_be_analysed_is_described_with_its_problems() -> None:
    found = inspect_recording(as_signal(heart(3.0)[:6], leads=STANDARD_LEADS[:6]))
    assert {p.reason for p in found.problems} == {"TOO_SHORT", "MISSING_LEADS"}
    assert found.quality is not None
    assert found.signal_hash is None


def test_missing_samples_are_counted() -> None:
    x = heart() * 1e-3
    x[3, 100:110] = np.nan
    found = inspect_recording(as_float(x))
    assert [c.missing for c in found.channels] == [0, 0, 0, 10] + [0] * 8
    assert found.problems[0].reason == "MISSING_SAMPLES"
    json.dumps(found.to_json(), allow_nan=False)


def test_an_absurd_scale_is_flagged() -> None:
    coarse = np.rint(heart() / 30.5) * 30.5e-3
    found = inspect_recording(as_float(coarse))
    assert found.quality is not None
    assert [r.code for r in found.quality.reasons] == ["COARSE_RESOLUTION"]
    assert found.quality.grade == "C"


def test_no_ecg_is_an_error() -> None:
    with pytest.raises(InvalidRequest):
        inspect_recording(as_file(b"hello,world\n1,2\n"))


def test_every_device_file(data_dir: Path) -> None:
    """Every file of the collection is described, or refused by type; the one with a false scale is flagged."""
    described, refused = {}, []
    for path in sorted((data_dir / "formats").glob("*/*")):
        try:
            described[path.name] = inspect_recording(as_file(path.read_bytes())).to_json()
        except InvalidRequest:
            refused.append(path.name)
    assert refused == [
        "fda_empty_aecg.xml",
        "philips_mrx_WAVELIST.XML",
        "sierra_invalid-doc-type.xml",
        "A00001.hea",
        "A00001.mat",
    ]  # fmt: skip  the last two are one record, which comes as a zip
    flagged = [n for n, d in described.items() if d["quality"] and d["quality"]["reasons"]]
    assert flagged == ["contec_0000050.ECG.edf"]
    good = [name for name, d in described.items() if d["analysable"]]
    assert len(good) == 11
    for name in good:
        json.dumps(described[name], allow_nan=False)


def test_every_remark_of_a_decoder_has_words() -> None:
    """The codes are written in upper case in lists and tuples of remarks, and nowhere else that way."""
    sources = "".join(path.read_text() for path in (ROOT / "preprocessor" / "decoding").glob("*.py"))
    made = set(re.findall(r'[\[(]"([A-Z]+(?:_[A-Z]+)+)"(?:,?\)|\])', sources))
    made |= set(re.findall(r'(?:remarks|notes)\.append\("([A-Z_]+)"\)', sources))
    assert made == set(REMARKS)
    assert in_words("FILLER_REMOVED") == "FILLER_REMOVED: filler or a calibration pulse at the ends was cut"
