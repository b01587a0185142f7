"""Tables: Apple Health's in two languages, plain CSV, NumPy archives, and EDF as pyedflib writes it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from preprocessor.prepare import prepare
from tests.unit.preprocessor.recordings import as_file, as_signal, heart


def csv(separator: str = ",", mark: str = ".", unit: str = "mV", step: str = "s") -> bytes:
    titles = separator.join([f"time [{step}]", *(f"{lead} [{unit}]" for lead in STANDARD_LEADS)])
    times = np.arange(5000) / 500 * (1000 if step == "ms" else 1)
    rows = np.column_stack([times, heart().T * (1e-3 if unit == "mV" else 1)])
    text = "\n".join(separator.join(f"{v:.4f}" for v in row) for row in rows)
    return (titles + "\n" + text.replace(".", mark)).encode()


@pytest.mark.parametrize(
    ("separator", "mark", "unit", "step"),
    [(",", ".", "mV", "s"), (";", ",", "mV", "s"), ("\t", ".", "uV", "ms"), (";", ".", "µV", "s")],
)
def test_csv_in_every_locale(separator: str, mark: str, unit: str, step: str) -> None:
    recording = decode(as_file(csv(separator, mark, unit, step)))
    assert recording.leads == STANDARD_LEADS
    assert recording.sampling_rate == 500
    assert prepare(as_file(csv(separator, mark, unit, step))).signal_hash == prepare(as_signal(heart())).signal_hash


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.replace(" [mV]", ""), "UNKNOWN_UNIT"),
        (lambda t: t.replace("time", "place"), "RATE_OUT_OF_RANGE"),
        (lambda t: t.replace("0.0020,", "nine,"), "MALFORMED"),
        (lambda t: t.replace("0.0020,", "0.0020,1,"), "MALFORMED"),
        (lambda t: t.replace("0.0020,", "0.0000,"), "RATE_OUT_OF_RANGE"),
        (lambda t: t.split("\n")[0], "EMPTY"),
        (lambda t: "name,age\nx,3\n", "UNKNOWN_FORMAT"),
    ],
)
def test_csv_refusals(change: Any, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(change(csv().decode()).encode()))
    assert [v.reason for v in caught.value.violations] == [reason]


def apple(language: str) -> bytes:
    english = 'Name,Jane Q\nDate of Birth,"Jan 1, 1990"\nSample Rate,512 hertz\nLead,Lead I\nUnit,µV\n\n\n'
    german = "Name;Jane Q\nGeburtsdatum;01.01.1990\nAbtastrate;512,5 Hertz\nAbleitung;Lead I\nEinheit;µV\n\n\n"
    words = {"en": (english, "."), "de": (german, ",")}
    head, mark = words[language]
    lead = heart(30.0, 512.0)[0]
    return (head + "\n".join(f"{v:.3f}".replace(".", mark) for v in lead) + "\n").encode()


@pytest.mark.parametrize(("language", "rate"), [("en", 512.0), ("de", 512.5)])
def test_apple_health_in_two_languages(language: str, rate: float) -> None:
    recording = decode(as_file(apple(language)))
    assert recording.format == "apple-health"
    assert (recording.leads, recording.sampling_rate, recording.samples) == (("I",), rate, 15360)
    np.testing.assert_allclose(recording.millivolts[0], heart(30.0, 512.0)[0] * 1e-3, atol=1e-9)
    assert "Jane" not in repr(recording)


def npz(**changes: Any) -> bytes:
    buffer = io.BytesIO()
    arrays = {"signal": heart(), "sampling_rate": 500.0, "leads": list(STANDARD_LEADS), "unit": "uV", **changes}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_numpy_archives() -> None:
    assert prepare(as_file(npz())).signal_hash == prepare(as_signal(heart())).signal_hash


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit": "m"}, "UNKNOWN_UNIT"),
        ({"leads": ["I"]}, "WRONG_LENGTH"),
        ({"signal": np.array([{"a": 1}], dtype=object)}, "UNREADABLE"),
        ({"signal": heart()[0]}, "WRONG_LENGTH"),
    ],
)
def test_numpy_refusals(changes: Any, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(npz(**changes)))
    assert [v.reason for v in caught.value.violations] == [reason]


def test_edf_as_pyedflib_writes_it_has_the_same_hash(tmp_path: Path) -> None:
    path = tmp_path / "r.edf"
    writer = pyedflib.EdfWriter(str(path), 12, file_type=pyedflib.FILETYPE_EDF)
    facts = {"dimension": "uV", "sample_frequency": 500, "physical_min": -32768, "physical_max": 32767,
             "digital_min": -32768, "digital_max": 32767}  # fmt: skip
    writer.setSignalHeaders([{"label": f"ECG {lead}", **facts} for lead in STANDARD_LEADS])
    writer.writeSamples([row.astype(np.int32) for row in heart()], digital=True)
    writer.close()
    recording = decode(as_file(path.read_bytes()))
    assert recording.format == "edf"
    with pytest.raises(InvalidRequest, match="send it whole"):
        decode(as_file(path.read_bytes()[:-100]))
    for at, value in ((236, b"99999999"), (252, b"9999"), (244, b"nonsense"), (256 + 216 * 12, b"99999999")):
        damaged = bytearray(path.read_bytes())
        damaged[at : at + len(value)] = value
        with pytest.raises(InvalidRequest):
            decode(as_file(bytes(damaged)))
    assert prepare(as_file(path.read_bytes())).signal_hash == prepare(as_signal(heart())).signal_hash
