"""Text and NumPy tables → Recording: Apple Health's ECG export, plain CSV with a header, and ``.npz`` archives."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import Device, Recording
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, assemble, clean_text
from preprocessor.decoding.units import millivolts_per

__all__ = ["decode_apple", "decode_csv", "decode_npz", "is_apple", "is_npz"]

FIELD: Final = "recording.file.content"
_MAX_ROWS: Final = 10_000_000
_MAX_CHANNELS: Final = 64
_MAX_TITLE: Final = 200
_MAX_UNPACKED: Final = 64 * 1024 * 1024
# The labels of Apple's export follow the phone's language; the line with hertz and the unit's volt sign do not.
_APPLE_RATE: Final = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(?:hertz|hz|herc|hercios|赫兹|赫茲|ヘルツ|헤르츠|герц|χερτζ|هرتز|הרץ|เฮิรตซ์)", re.IGNORECASE
)
_APPLE_UNIT: Final = re.compile(r"[,;]\"?\s*([µμumn]?V)\"?\s*$", re.MULTILINE)
#: Three samples in a row, in whichever decimal mark, maybe quoted; the minus may be the typographic one.
_APPLE_START: Final = re.compile(r'(?:^"?[-\u2212]?\d+(?:[.,]\d+)?(?:[eE]-?\d+)?"?[,;]?\s*\n){3}', re.MULTILINE)
_APPLE_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [-+]\d{4})")
_APPLE_DEVICE: Final = re.compile(r"\"?(Watch\d+,\d+)\"?")
_CLOCK: Final = re.compile(
    r"t|(?:elapsed[ _]?)?time(?:stamps?)?(?:[ _]?m?s(?:ec)?)?|seconds|zeit|tempo|tiempo|temps", re.IGNORECASE
)
_COMMENT: Final = re.compile(r"\s*(?:#|sep=)")
_STATED_RATE: Final = re.compile(
    r"(?:sampl\w*[ _]?(?:rate|freq\w*)|\bfs)\s*(?:\[?\(?hz\)?\]?)?\s*[:=]\s*(\d+(?:\.\d+)?)", re.IGNORECASE
)
_STATED_UNIT: Final = re.compile(r"\bunits?\s*[:=]\s*([^\s,;]+)", re.IGNORECASE)
_TITLE: Final = re.compile(r"^\s*(?P<name>.*?)\s*(?:[(\[](?P<unit>[^)\]]*)[)\]])?\s*$")


def _refused(description: str, reason: str = "MALFORMED") -> InvalidRequest:
    return InvalidRequest.field(FIELD, description, reason)


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def is_apple(content: bytes) -> bool:
    """Apple Health's ECG: a short list of facts, among them a rate in hertz and one unit, before any numbers."""
    head = _text(content[:2048])
    return bool(_APPLE_RATE.search(head) and _APPLE_UNIT.search(head)) and "\n" in head


def decode_apple(content: bytes) -> Recording:
    """Lead I as one number per line, in whichever decimal mark the phone's language uses."""
    text = _text(content)
    rate, unit = _APPLE_RATE.search(text[:2048]), _APPLE_UNIT.search(text[:2048])
    if rate is None or unit is None:
        raise _refused("the Apple Health file states no rate or unit")
    start = _APPLE_START.search(text)
    if start is None:
        raise _refused("the Apple Health file holds no samples", "EMPTY")
    lines = [line.strip().rstrip(",;").strip('"') for line in text[start.start() :].splitlines() if line.strip()]
    try:
        values = np.array([_plain_number(line) for line in lines], dtype=np.float64)
    except ValueError:
        raise _refused("a sample of the Apple Health file is not a number") from None
    device, when = _APPLE_DEVICE.search(text[:2048]), _APPLE_TIME.search(text[:2048])
    acquired = datetime.strptime(when.group(1), "%Y-%m-%d %H:%M:%S %z") if when else None
    return assemble(
        labels=["I"],
        channels=values[None] * (millivolts_per(unit.group(1)) or 1.0),
        sampling_rate=float(rate.group(1).replace(",", ".")),
        format_name="apple-health",
        field_name=FIELD,
        metadata=Metadata(device=Device("Apple", clean_text(device.group(1)) if device else ""), acquired_at=acquired),
    )


def _plain_number(text: str) -> str:
    return text.replace(",", ".").replace("\u2212", "-")


def decode_csv(content: bytes) -> Recording:
    """One column per lead under titles such as ``time [s],I [mV],II [mV],…``.

    The units may stand in a second line instead, as PhysioNet's ``rdsamp -c`` writes them, or in a comment before the
    titles (``# unit: uV``). The rate comes from the time column, or from a comment (``# sampling rate: 500``).
    """
    text, stated_rate, stated_unit = _after_comments(_text(content))
    first = text.split("\n", 1)[0]
    separator = max(";\t,", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    header = next(rows, [])
    if len(header) > _MAX_CHANNELS + 1:
        raise _refused(f"more than {_MAX_CHANNELS} columns", "TOO_LARGE")
    titles = [_TITLE.match(cell.strip().strip("'")[:_MAX_TITLE]) for cell in header]
    names = [match["name"] if match else "" for match in titles]
    units = [(match["unit"] or "").strip() if match else "" for match in titles]
    second = [
        cell.strip().strip("'").strip() for cell in next(csv.reader(text.split("\n", 2)[1:2], delimiter=separator), [])
    ]
    if len(second) == len(names) and any(map(millivolts_per, second)):
        next(rows)
        units = second
    if not any(normalise_lead(name) for name in names):
        raise _refused("a text table without lead names in its first line", "UNKNOWN_FORMAT")
    values = _numbers(rows, len(names))
    clock = next((k for k, name in enumerate(names) if _CLOCK.fullmatch(name)), None)
    if clock is None and stated_rate is None:
        raise _refused("the table needs a column 'time [s]' to tell the rate", "RATE_OUT_OF_RANGE")
    rate = stated_rate or _rate(values[:, clock or 0] * _seconds_per(units[clock or 0] or names[clock or 0][-2:]))
    leads = [k for k in range(len(names)) if k != clock]
    factors = []
    for k in leads:
        factor = millivolts_per(units[k] or stated_unit)
        if factor is None and normalise_lead(names[k]):
            raise _refused('name the unit of each lead in its title, such as "I [mV]"', "UNKNOWN_UNIT")
        factors.append(factor)
    scale = np.array([factor or 1.0 for factor in factors])
    return assemble(
        labels=[names[k] for k in leads],
        channels=np.ascontiguousarray((values[:, leads] * scale).T),
        sampling_rate=rate,
        format_name="csv",
        field_name=FIELD,
        voltage=[factor is not None for factor in factors],
    )


def _after_comments(text: str) -> tuple[str, float | None, str]:
    """The text from the titles on, and the rate and unit that comments before them state."""
    lines = text.split("\n")
    begins = next((k for k, line in enumerate(lines) if line.strip() and not _COMMENT.match(line)), len(lines))
    said = "\n".join(lines[:begins])
    rate, unit = _STATED_RATE.search(said), _STATED_UNIT.search(said)
    return "\n".join(lines[begins:]), float(rate[1]) if rate and float(rate[1]) > 0 else None, unit[1] if unit else ""


def _seconds_per(unit: str) -> float:
    return {"ms": 1e-3, "us": 1e-6, "min": 60.0}.get(unit.strip().lower(), 1.0)


def _seconds(cell: str) -> float:
    """A number, or a time of day such as ``0:01.500``."""
    total = 0.0
    for part in cell.strip().strip("'[]").split(":"):
        total = total * 60 + float(part)
    return total


def _numbers(rows: Iterable[Sequence[str]], columns: int) -> npt.NDArray[np.float64]:
    table: list[Sequence[str]] = []
    for row in rows:
        if not row:
            continue
        if len(row) != columns:
            raise _refused(f"row {len(table) + 2} has {len(row)} columns instead of {columns}")
        if len(table) >= _MAX_ROWS:
            raise _refused(f"more than {_MAX_ROWS} rows", "TOO_LARGE")
        # A comma inside a cell is a decimal mark, whatever stands between the cells.
        table.append([_plain_number(cell) for cell in row])
    if len(table) < 2:
        raise _refused("the table holds no samples", "EMPTY")
    try:
        return np.array(
            [
                [np.nan if not cell.strip() else _seconds(cell) if ":" in cell else float(cell) for cell in row]
                for row in table
            ]
        )
    except ValueError:
        raise _refused("a cell of the table is not a number") from None


def _rate(seconds: npt.NDArray[np.float64]) -> float:
    """Samples per second of an evenly spaced clock."""
    steps = np.diff(seconds)
    span = float(seconds[-1] - seconds[0])
    if not np.isfinite(steps).all() or span <= 0 or (steps <= 0).any():
        raise _refused("the time column does not rise", "RATE_OUT_OF_RANGE")
    step = span / len(steps)
    if np.abs(steps - step).max() > 0.5 * step:
        raise _refused("the time column is not evenly spaced", "RATE_OUT_OF_RANGE")
    rate = 1.0 / step
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else rate


def is_npz(content: bytes) -> bool:
    """A zip of NumPy arrays with one called ``signal``."""
    if content[:4] != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "signal.npy" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def decode_npz(content: bytes) -> Recording:
    """``numpy.savez(file, signal=[leads, n], sampling_rate=…, leads=[…], unit="mV")``; objects are never unpickled."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED:
                raise _refused("it unpacks to more than 64 MiB", "TOO_LARGE")
        with np.load(io.BytesIO(content), allow_pickle=False, max_header_size=10_000) as arrays:
            signal = np.asarray(arrays["signal"])
            rate, unit = float(arrays["sampling_rate"]), str(arrays["unit"])
            leads = [str(name) for name in arrays["leads"]]
    except KeyError:
        raise _refused("the archive needs signal, sampling_rate, leads and unit", "MALFORMED") from None
    except (ValueError, TypeError, OSError, zipfile.BadZipFile, zlib.error, EOFError):
        raise _refused(
            "the NumPy archive is damaged or holds something other than plain arrays", "UNREADABLE"
        ) from None
    factor = millivolts_per(unit)
    if factor is None:
        raise _refused('not a unit of voltage; use "mV", "uV" or "V"', "UNKNOWN_UNIT")
    if signal.ndim != 2 or len(signal) != len(leads) or len(leads) > _MAX_CHANNELS or signal.dtype.kind not in "iuf":
        raise _refused("signal must be numbers [leads, n] with one name per lead", "WRONG_LENGTH")
    return assemble(
        labels=leads,
        channels=np.multiply(signal, factor, dtype=np.float64),
        sampling_rate=rate,
        format_name="npz",
        field_name=FIELD,
    )
