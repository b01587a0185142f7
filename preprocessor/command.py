"""``cardiomesh inspect`` and ``cardiomesh convert``: what an integrator needs before there is a mesh."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from cardiomesh.client import read_file
from cardiomesh.ecg.measurements import Status
from cardiomesh.errors import InvalidRequest
from preprocessor.conversion import convert as write_as
from preprocessor.conversion import losses, same_signal
from preprocessor.decoding import FileInput, RecordingInput
from preprocessor.decoding import decode as decode_any
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.decoding.registry import Isolated
from preprocessor.inspection import Inspection, inspect_recording
from preprocessor.measuring import Named, measurements_of
from preprocessor.remarks import in_words
from preprocessor.settings import PreprocessorSettings

__all__ = ["convert", "inspect"]

_SHOWN: Final[Mapping[str, str]] = {
    "rhythm.heart_rate": "heart rate",
    "intervals.pr": "PR",
    "intervals.qrs": "QRS",
    "intervals.qt": "QT",
    "intervals.qtc_fridericia": "QTc (Fridericia)",
    "axis.p": "P axis",
    "axis.qrs": "QRS axis",
    "axis.t": "T axis",
}
_SIGNAL_SUFFIXES: Final = frozenset({".dat", ".mat"})
#: Where the output is no terminal, nothing is wrapped before this.
_WIDE: Final = 200


def inspect(
    file: Annotated[Path, typer.Argument(help="Any ECG file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Say what a file is, what is in it, how fit it is, and what it measures."""
    with _decoder() as decode:
        found = inspect_recording(_input(file), decode)
    # What is unfit is not measured: a number on it would be a guess. Where leads are missing, the others are.
    unfit = {problem.reason for problem in found.problems} - {"MISSING_LEADS"}
    measured = () if unfit or not found.recording.leads else measurements_of(found.recording)
    if as_json:
        print(json.dumps(found.to_json() | {"measurements": list(map(_plain, measured))}, ensure_ascii=False))
    else:
        _show(Console(width=None if sys.stdout.isatty() else _WIDE), found, measured)


def convert(
    file: Annotated[Path, typer.Argument(help="Any ECG file.")],
    out: Annotated[Path, typer.Argument(help="What to write: .dcm, .edf, .wfdb (a zip) or .csv.")],
) -> None:
    """Write an ECG as a standard file that other readers open, and say what it lacks.

    Names and numbers of patients do not travel.
    """
    with _decoder() as decode:
        recording = decode_any(_input(file), decode)
        content = write_as(recording, out.suffix.removeprefix(".").lower())
        again = decode_any(RecordingInput(FileInput(content)), decode)
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InvalidRequest.field("out", f"{out.name}: {error.strerror}", "UNWRITABLE") from error
    what = f"{out.name}: {len(recording.leads)} leads, {recording.samples} samples"
    print(what + (", the same signal hash" if same_signal(recording, again) else ""))
    for line in losses(recording, again):
        print(line)


def _input(file: Path) -> RecordingInput:
    header = file.with_suffix(".hea")
    if file.suffix.lower() in _SIGNAL_SUFFIXES and header.is_file():
        file = header  # a WFDB signal file says nothing without its header
    return RecordingInput(FileInput(read_file(file)))


@contextmanager
def _decoder() -> Iterator[Isolated]:
    """One worker with the service's own limits: a strange file is as strange here as there."""
    settings = PreprocessorSettings()
    workers = WorkerPool(1, seconds=settings.decode_seconds, memory_mib=settings.decode_memory_mib)
    try:
        yield workers.decode
    finally:
        workers.close()


def _plain(named: Named) -> dict[str, Any]:
    value = named.value
    return {
        "key": named.key,
        "lead": named.lead,
        "value": value.value,
        "unit": value.unit,
        "status": value.status.value.lower(),
        "reason": value.reason.en,
        "reason_code": value.reason.code,
    }


def _show(console: Console, found: Inspection, measured: tuple[Named, ...]) -> None:
    def line(label: str, text: str) -> None:
        if text:
            console.print(f"{label:<9} {text}", markup=False, highlight=False, soft_wrap=True)

    recording, beat = found.recording, found.recording.median_beat
    line("format", f"{found.title} ({found.format})")
    line("device", " ".join(part for part in (found.manufacturer, found.model) if part))
    age = "" if found.age_years is None else f"{found.age_years} years" + (" or older" if found.age_years >= 89 else "")
    line("patient", ", ".join(part for part in (age, found.sex or "") if part))
    line("recorded", found.acquired_at.isoformat(" ", "seconds") if found.acquired_at else "")
    leads = f"{len(recording.leads)} of the 12 leads"
    leads += f" ({len(recording.derived_leads)} of them derived)" if recording.derived_leads else ""
    length = f"{found.sampling_rate:g} Hz, {found.duration:.5g} s ({found.samples} samples), in mV"
    line("signal", f"{leads}, {length}")
    if beat is not None:
        size = f"{beat.millivolts.shape[1]} samples at {beat.sampling_rate:g} Hz"
        line("median", f"the device's median beat, {len(beat.leads)} leads, {size}; not analysed")
    if found.quality:
        line("quality", f"{found.quality.grade} ({found.quality.score:.2f})")
        for reason in found.quality.reasons:
            line("", f"{reason.message} ({reason.code})")
    console.print(_channel_table(found))
    for remark in found.remarks:
        line("note", in_words(remark))
    for named in measured:
        if named.key in _SHOWN:
            value = named.value
            shown = f"{value.value:.0f} {value.unit}" if value.status is Status.MEASURED else value.reason.en
            console.print(f"{_SHOWN[named.key]:<16} {shown}", markup=False, highlight=False, soft_wrap=True)
    for problem in found.problems:
        text = f"cannot be analysed: {problem.field}: {problem.description} ({problem.reason})"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _channel_table(found: Inspection) -> Table:
    grades = {lead.lead: lead for lead in found.quality.leads} if found.quality else {}
    table = Table(box=None, pad_edge=False)
    for column in ("Lead", "Lowest mV", "Highest mV", "Missing", "Grade", "Why"):
        table.add_column(column)
    for channel in found.channels:
        quality = grades.get(channel.name) if channel.standard else None
        name = channel.name + (" (derived)" if channel.derived else "" if channel.standard else " (kept apart)")
        table.add_row(
            name,
            "" if channel.lowest is None else f"{channel.lowest:.3f}",
            "" if channel.highest is None else f"{channel.highest:.3f}",
            str(channel.missing or ""),
            str(quality.grade) if quality else "",
            "; ".join(reason.message for reason in quality.reasons) if quality else "",
        )
    return table
