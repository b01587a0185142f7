"""``cardiomesh inspect`` and ``cardiomesh convert``: what an integrator needs before there is a mesh."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cardiomesh.client import read_file
from cardiomesh.ecg.measurements import Status
from cardiomesh.errors import InvalidRequest
from preprocessor.conversion import convert as write_as
from preprocessor.decoding import FileInput, RecordingInput
from preprocessor.decoding import decode as decode_any
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.decoding.registry import Isolated
from preprocessor.inspection import Inspection, inspect_recording
from preprocessor.measuring import Named, measurements_of
from preprocessor.settings import PreprocessorSettings

__all__ = ["convert", "inspect"]

_SHOWN = ("rhythm.heart_rate", "intervals.pr", "intervals.qrs", "intervals.qt", "intervals.qtc_fridericia", "axis.qrs")


def inspect(
    file: Annotated[Path, typer.Argument(help="Any ECG file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Say what a file is, what is in it, how fit it is, and what it measures."""
    with _decoder() as decode:
        found = inspect_recording(_input(file), decode)
    # What could not be analysed is not measured either: a number on it would be a guess.
    measured = () if found.problems else measurements_of(found.recording)
    if as_json:
        print(json.dumps(found.to_json() | {"measurements": list(map(_plain, measured))}, ensure_ascii=False))
    else:
        _show(Console(), found, measured)


def convert(
    file: Annotated[Path, typer.Argument(help="Any ECG file.")],
    out: Annotated[Path, typer.Argument(help="What to write: .dcm, .edf, .wfdb (a zip) or .csv.")],
) -> None:
    """Write an ECG as a standard file that other readers open. Names and numbers of patients do not travel."""
    with _decoder() as decode:
        recording = decode_any(_input(file), decode)
    content = write_as(recording, out.suffix.removeprefix(".").lower())
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InvalidRequest.field("out", f"{out.name}: {error.strerror}", "UNWRITABLE") from error


def _input(file: Path) -> RecordingInput:
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
        "reason": value.reason,
    }


def _show(console: Console, found: Inspection, measured: tuple[Named, ...]) -> None:
    device = " ".join(part for part in (found.manufacturer, found.model) if part)
    what = f"{found.format}, {found.sampling_rate:g} Hz, {found.duration:g} s, {found.samples} samples"
    console.print(f"[bold]{what}[/] {device}", highlight=False)
    grades = {lead.lead: lead for lead in found.quality.leads} if found.quality else {}
    table = Table(box=None, pad_edge=False)
    for column in ("Lead", "Lowest mV", "Highest mV", "Missing", "Grade", "Why"):
        table.add_column(column)
    for channel in found.channels:
        quality = grades.get(channel.name)
        name = channel.name + (" (derived)" if channel.derived else "" if channel.standard else " (not one of the 12)")
        table.add_row(
            name,
            "" if channel.lowest is None else f"{channel.lowest:.3f}",
            "" if channel.highest is None else f"{channel.highest:.3f}",
            str(channel.missing or ""),
            str(quality.grade) if quality else "",
            "; ".join(reason.message for reason in quality.reasons) if quality else "",
        )
    console.print(table)
    if found.quality:
        console.print(f"quality {found.quality.grade} ({found.quality.score:.2f})", highlight=False)
    for remark in found.remarks:
        console.print(f"note: {remark}", markup=False, highlight=False)
    for named in measured:
        if named.key in _SHOWN:
            value = named.value
            shown = f"{value.value:.0f} {value.unit}" if value.status is Status.MEASURED else value.reason
            console.print(f"{named.key.partition('.')[2]}: {shown}", markup=False, highlight=False)
    for problem in found.problems:
        console.print(f"[red]cannot be analysed[/] {problem.field}: {problem.description}", highlight=False)
