"""``cardiomesh monitor``: a recording replayed as live leads, or numbers as they come in; one line per answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO, cast

import numpy as np
import numpy.typing as npt
from rich.console import Console

from cardiomesh.cli.tape import clock, plain_error
from cardiomesh.client import Client, LiveEnd, LivePart, LiveSkipped, LiveStarted, LiveStream, LiveWindow
from cardiomesh.errors import CardioMeshError, InvalidRequest
from cardiomesh.language import Language

__all__ = ["Source", "from_lines", "from_recording", "monitor", "show_live", "write_live"]

#: Signal in one chunk, in seconds: short beside what an answer takes, long beside what a chunk costs.
_CHUNK_S: Final = 0.2
_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "raised": "ALARM",
        "cleared": "alarm over",
        "none": "no finding",
        "since": "since",
        "behind": "skipped: the analysis fell behind",
        "gap": "skipped: samples are missing",
        "resumed": "connection taken up again",
        "end": "{answered} windows answered, {refused} refused, {skipped} skipped",
        "research": "Research use. Not cleared as a medical device, and no monitor of patients.",
    },
    "pt": {
        "raised": "ALARME",
        "cleared": "fim do alarme",
        "none": "nenhum achado",
        "since": "desde",
        "behind": "omitidas: a análise ficou para trás",
        "gap": "omitidas: faltam amostras",
        "resumed": "conexão retomada",
        "end": "{answered} janelas respondidas, {refused} recusadas, {skipped} omitidas",
        "research": "Uso em pesquisa. Sem registro como dispositivo médico; não é um monitor de pacientes.",
    },
}


@dataclass(frozen=True, slots=True)
class Source:
    """Leads in mV as they come: chunks ``[leads, n]``."""

    leads: tuple[str, ...]
    sampling_rate: float
    chunks: Iterator[npt.NDArray[np.float32]]


def from_recording(client: Client, file: Path, speed: float, repeat: int) -> Source:
    """A recording of at most a minute, decoded by the mesh, at ``speed`` times its own pace; 0: as fast as it goes."""
    signal = client.analyze(file=file, include_signal=True).signal
    if signal is None:
        raise InvalidRequest.field("file", "no signal came back", "EMPTY")
    size = max(1, round(_CHUNK_S * signal.sampling_rate))

    def chunks() -> Iterator[npt.NDArray[np.float32]]:
        due = time.monotonic()
        for _ in range(repeat):
            for first in range(0, signal.millivolts.shape[1], size):
                chunk = signal.millivolts[:, first : first + size]
                if speed > 0:  # what was recorded by then is sent then
                    due += chunk.shape[1] / signal.sampling_rate / speed
                    time.sleep(max(0.0, due - time.monotonic()))
                yield chunk

    return Source(signal.leads, signal.sampling_rate, chunks())


def from_lines(lines: TextIO, sampling_rate: float | None) -> Source:
    """Comma-separated lines as ``cardiomesh convert`` writes them: ``time [s],I [mV],…``, then one line per moment."""
    header = lines.readline().strip().split(",")
    names = [name.removesuffix(" [mV]").strip() for name in header]
    timed = names[0].startswith("time")
    rows = (_row(line, len(names)) for line in lines if line.strip())
    first = [next(rows, None), next(rows, None)]
    if first[0] is None or first[1] is None:
        raise InvalidRequest.field("stdin", "send a line of lead names, then lines of numbers in mV", "EMPTY")
    if sampling_rate is None:
        step = float(first[1][0] - first[0][0]) if timed else 0.0
        if step <= 0:
            raise InvalidRequest.field("rate", "is needed where the first column is not the time", "MISSING")
        sampling_rate = round(1 / step, 3)
    size = max(1, round(_CHUNK_S * sampling_rate))
    skipped = 1 if timed else 0

    def chunks() -> Iterator[npt.NDArray[np.float32]]:
        waiting: list[npt.NDArray[np.float32]] = []
        for row in chain(first, rows):
            waiting.append(cast("npt.NDArray[np.float32]", row)[skipped:])
            if len(waiting) == size:
                yield np.stack(waiting, axis=1)
                waiting = []
        if waiting:
            yield np.stack(waiting, axis=1)

    return Source(tuple(names[skipped:]), sampling_rate, chunks())


def _row(line: str, columns: int) -> npt.NDArray[np.float32]:
    try:
        values = np.array([float(part) for part in line.split(",")], np.float64)
    except ValueError:
        raise InvalidRequest.field("stdin", "a line holds something that is not a number", "MALFORMED") from None
    if len(values) != columns:
        raise InvalidRequest.field("stdin", f"a line has {len(values)} numbers instead of {columns}", "MALFORMED")
    return values.astype(np.float32)


def monitor(stream: LiveStream, chunks: Iterable[npt.NDArray[np.float32]]) -> Iterator[LivePart]:
    """Send from a thread; the answers. What is wrong with the source ends both."""
    broken: list[BaseException] = []

    def feed() -> None:
        try:
            for chunk in chunks:
                stream.send(chunk)
        except CardioMeshError as error:
            broken.append(error)
        finally:
            stream.finish()

    # A source that waits for its next line cannot be told to stop: it must not keep the program alive.
    threading.Thread(target=feed, daemon=True).start()
    with stream:
        yield from stream
    if broken:
        raise broken[0]


def write_live(parts: Iterable[LivePart], out: TextIO) -> None:
    """One JSON object per line."""
    for part in parts:
        out.write(json.dumps(_plain(part), ensure_ascii=False) + "\n")
        out.flush()


def _plain(part: LivePart) -> dict[str, Any]:
    if isinstance(part, LiveWindow):
        return {
            "window": {
                "index": part.index,
                "start": part.start,
                "analysis": part.analysis.to_dict() if part.analysis else None,
                "error": plain_error(part.error),
                "critical": part.critical,
                "alarms": [asdict(alarm) for alarm in part.alarms],
                "active_alarms": part.active_alarms,
            }
        }
    kinds = {LiveStarted: "started", LiveSkipped: "skipped", LiveEnd: "end"}
    return {kinds[type(part)]: asdict(part)}


def show_live(parts: Iterable[LivePart], out: Console, language: Language) -> None:
    """One line per answer, alarms before their window."""
    words = _WORDS[language]

    def line(text: str, style: str = "") -> None:
        out.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for part in parts:
        if isinstance(part, LiveStarted):
            line(words["resumed"] if part.resumed else f"{part.model.name} v{part.model.version}", "dim")
        elif isinstance(part, LiveSkipped):
            line(f"{clock(part.start)}–{clock(part.end)}  {words[part.reason]}", "yellow")
        elif isinstance(part, LiveEnd):
            line(words["end"].format(answered=part.answered, refused=part.refused, skipped=part.skipped))
        else:
            for alarm in part.alarms:
                name = alarm.name if language == "en" else alarm.name_pt
                text = f"{clock(part.start)}  {words[alarm.state]} {alarm.code}: {name}"
                line(text, "bold red" if alarm.state == "raised" else "green")
            line(f"{clock(part.start)}  {_said(part, words, language)}", "red" if part.critical else "")
    line(words["research"], "dim")


def _said(window: LiveWindow, words: dict[str, str], language: Language) -> str:
    if window.analysis is None:
        return f"{window.error.reason}: {window.error}" if window.error else ""
    found = window.analysis.present
    named: Sequence[str] = [f"{f.name if language == 'en' else f.name_pt} {f.probability:.2f}" for f in found]
    return f"{window.analysis.quality.grade}  {' · '.join(named) or words['none']}"
