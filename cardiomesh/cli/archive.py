"""``cardiomesh analyze-batch``: a whole archive through the mesh, one JSON line per file, resumable."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cardiomesh.client import BatchItem, Client, RecordingArguments
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, Overloaded, Unavailable

__all__ = ["Tally", "analyze_archive", "opened", "recordings_in"]

#: An item that failed so may succeed the next time.
_PASSING: Final = (Unavailable, DeadlineExceeded, Overloaded)


@dataclass(slots=True)
class Tally:
    """How many files were answered, refused, and failed for a reason that passes."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    skipped: int = 0


def recordings_in(paths: Sequence[Path]) -> list[Path]:
    """The files to send: as named, and every file in the folders, sorted. A WFDB record is its header."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InvalidRequest.field("path", f"{path}: no such file or folder", "UNREADABLE")
        inside = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")] if path.is_dir() else [path]
        records = {p.with_suffix("") for p in inside if p.suffix == ".hea"}
        found += sorted(p for p in inside if p.suffix == ".hea" or p.with_suffix("") not in records)
    return list(dict.fromkeys(found))


def analyze_archive(
    client: Client, files: Sequence[Path], out: TextIO, err: Console, *, done: frozenset[str], **options: Any
) -> Tally:
    """Send all files but those already ``done``; write a line for each to ``out`` as it comes back."""
    tally = Tally(skipped=sum(str(file) in done for file in files))
    waiting = [file for file in files if str(file) not in done]
    # File names stay here: they may name patients, and the mesh needs only a number to answer to.
    named = ((str(number), RecordingArguments(file=file)) for number, file in enumerate(waiting))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("analysing", total=len(waiting))
        for item in client.analyze_batch(named, **options):
            out.write(json.dumps(_line(waiting[int(item.item_id)], item), ensure_ascii=False) + "\n")
            out.flush()
            _count(tally, item.error)
            progress.advance(task)
    seconds = max(time.monotonic() - started, 1e-9)
    err.print(
        f"{tally.answered} answered, {tally.refused} refused, {tally.failed} failed, {tally.skipped} done before; "
        f"{len(waiting) / seconds:.1f} files/s",
        highlight=False,
    )
    return tally


@contextmanager
def opened(path: Path | None) -> Iterator[tuple[frozenset[str], TextIO]]:
    """What an earlier run has settled in ``path``, and where lines go: its end, or standard output without a path."""
    if path is None:
        yield frozenset(), sys.stdout
        return
    try:
        earlier = path.read_text(encoding="utf-8") if path.exists() else ""
        file = path.open("a", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "is not a text file"
        raise InvalidRequest.field("out", f"{path.name}: {what}", "UNWRITABLE") from error
    with file:
        if earlier and not earlier.endswith("\n"):
            file.write("\n")  # what follows is not part of the line that was cut short
        yield _settled(earlier.splitlines()), file


def _settled(lines: Iterable[str]) -> frozenset[str]:
    """The files that an earlier run has settled: answered, or refused for a reason that will not pass."""
    settled = set()
    for line in lines:
        try:
            entry = json.loads(line)
            if not entry.get("error", {}).get("passing"):
                settled.add(str(entry["file"]))
        except (ValueError, KeyError, AttributeError, TypeError):
            continue  # a line that was cut short when the run was stopped
    return frozenset(settled)


def _line(file: Path, item: BatchItem) -> dict[str, Any]:
    if item.analysis is not None:
        return {"file": str(file), "result": item.analysis.to_dict()}
    error = item.error or CardioMeshError("nothing came back")
    return {
        "file": str(file),
        "error": {
            "status": error.status,
            "reason": error.reason,
            "message": str(error),
            "passing": isinstance(error, _PASSING),
            "violations": [
                {"field": v.field, "description": v.description, "reason": v.reason} for v in error.violations
            ],
        },
    }


def _count(tally: Tally, error: CardioMeshError | None) -> None:
    if error is None:
        tally.answered += 1
    elif isinstance(error, _PASSING):
        tally.failed += 1
    else:
        tally.refused += 1
