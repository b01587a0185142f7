"""Tables: Apple Health's in several languages, plain CSV and NumPy archives."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
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


def _rdsamp() -> str:
    """As ``rdsamp -c -v`` writes it: quoted titles, units in the second line."""
    lines = csv().decode().split("\n")
    titles = ",".join(["'Elapsed time'", *(f"'{lead}'" for lead in STANDARD_LEADS)])
    times = [f"'0:{k / 500:06.3f}'" for k in range(5000)]
    rows = [f"{time},{line.split(',', 1)[1]}" for time, line in zip(times, lines[1:], strict=True)]
    return "\n".join([titles, ",".join(["'hh:mm:ss.mmm'", *["'mV'"] * 12]), *rows])


VARIANTS: dict[str, Callable[[], str]] = {
    "units in a second line": _rdsamp,
    "rate and unit in comments": lambda: (
        "# sampling rate: 500 Hz\n# unit: uV\n\n"
        + "\n".join([",".join(STANDARD_LEADS), *(",".join(map(str, row)) for row in heart().T)])
    ),
    "as Excel marks it": lambda: "sep=;\r\n" + csv(";", ",").decode().replace("\n", "\r\n"),
    "quoted decimal commas": lambda: re.sub(r"(-?\d+)\.(\d+)", r'"\1,\2"', csv().decode()),
    "time in milliseconds by its name": lambda: csv(step="ms").decode().replace("time [ms]", "time_ms"),
    "typographic minus": lambda: csv().decode().replace("-", "\u2212"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_csv_variants(variant: str) -> None:
    content = VARIANTS[variant]().encode()
    recording = decode(as_file(content))
    assert (recording.format, recording.leads, recording.sampling_rate) == ("csv", STANDARD_LEADS, 500)
    assert prepare(as_file(content)).signal_hash == prepare(as_signal(heart())).signal_hash


def test_csv_in_utf_16() -> None:
    assert decode(as_file(csv("\t").decode().encode("utf-16"))).leads == STANDARD_LEADS


def apple(language: str) -> bytes:
    english = (
        'Name,Jane Q\nDate of Birth,"Jan 1, 1990"\nRecorded Date,2020-03-04 09:10:11 +0100\nDevice,"Watch6,7"\n'
        "Sample Rate,512 hertz\nLead,Lead I\nUnit,µV\n\n\n"
    )
    german = "Name;Jane Q\nGeburtsdatum;01.01.1990\nAbtastrate;512,5 Hertz\nAbleitung;Lead I\nEinheit;µV\n\n\n"
    swedish = "Namn;Jane Q\nSamplingsfrekvens;512 hertz\nAvledning;Avledning I\nEnhet;µV\n\n\n"
    french = "Nom,Jane Q\nFréquence d’échantillonnage,512 hertz\nDérivation,Dérivation I\nUnité,µV\n\n\n"
    korean = "이름,Jane Q\n샘플률,512헤르츠\n리드,리드 I\n단위,µV\n\n\n"
    head, row = {
        "en": (english, "{}"),
        "de": (german, "{}"),
        "sv": (swedish, "{}"),
        "fr": (french, '"{}"'),
        "ko": (korean, "{}"),
    }[language]
    mark, minus = "." if language in ("en", "ko") else ",", "\u2212" if language == "sv" else "-"
    lead = heart(30.0, 512.0)[0]
    rows = [row.format(f"{v:.3f}".replace(".", mark).replace("-", minus)) for v in lead]
    return (head + "\n".join(rows) + "\n").encode()


@pytest.mark.parametrize(("language", "rate"), [("en", 512.0), ("de", 512.5), ("sv", 512.0), ("fr", 512), ("ko", 512)])
def test_apple_health_in_several_languages(language: str, rate: float) -> None:
    recording = decode(as_file(apple(language)))
    assert recording.format == "apple-health"
    assert (recording.leads, recording.sampling_rate, recording.samples) == (("I",), rate, 15360)
    np.testing.assert_allclose(recording.millivolts[0], heart(30.0, 512.0)[0] * 1e-3, atol=1e-9)
    assert "Jane" not in repr(recording)
    if language == "en":
        assert recording.device.model == "Watch6,7"
        assert str(recording.acquired_at) == "2020-03-04 09:10:11+01:00"


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
