"""``cardiomesh analyze-long``: a recording of any length, with progress, as a summary or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cardiomesh.client import LongOverview, LongPart, LongSummary, LongWindow
from cardiomesh.errors import CardioMeshError
from cardiomesh.language import Language

__all__ = ["clock", "plain_error", "show_long", "write_long"]

_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "code": "Code",
        "finding": "Finding",
        "share": "Share of time",
        "run": "Longest run",
        "highest": "Highest",
        "windows": "{analyzed} of {windows} windows answered, {refused} refused",
        "refused": "refused",
        "at": "at",
        "rate": "Heart rate",
        "quality": "Lowest quality score",
        "first": "first at",
        "none": "No finding in any window.",
        "research": "Research use. Not cleared as a medical device.",
    },
    "pt": {
        "code": "Código",
        "finding": "Achado",
        "share": "Parte do tempo",
        "run": "Maior sequência",
        "highest": "Máxima",
        "windows": "{analyzed} de {windows} janelas respondidas, {refused} recusadas",
        "refused": "recusadas",
        "at": "em",
        "rate": "Frequência cardíaca",
        "quality": "Menor escore de qualidade",
        "first": "primeira em",
        "none": "Nenhum achado em nenhuma janela.",
        "research": "Uso em pesquisa. Sem registro como dispositivo médico.",
    },
}


def clock(seconds: float) -> str:
    """Hours, minutes and seconds since the start."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def plain_error(error: CardioMeshError | None) -> dict[str, Any] | None:
    """An error as plain JSON types."""
    if error is None:
        return None
    return {
        "reason": error.reason,
        "message": str(error),
        "violations": [{"field": v.field, "description": v.description, "reason": v.reason} for v in error.violations],
    }


def write_long(parts: Iterable[LongPart], out: TextIO) -> None:
    """One JSON object per line: the overview, each window, the summary."""
    for part in parts:
        out.write(json.dumps(_plain(part), ensure_ascii=False) + "\n")
        out.flush()


def _plain(part: LongPart) -> dict[str, Any]:
    if isinstance(part, LongWindow):
        refusal = part.refusal
        plain = {name: getattr(part, name) for name in ("index", "start", "probabilities", "present", "heart_rate")}
        plain |= {"tensor_hash": part.tensor_hash, "quality": asdict(part.quality) if part.quality else None}
        plain["refusal"] = plain_error(refusal)
        return {"window": plain}
    if isinstance(part, LongSummary):
        return {"summary": part.to_dict()}
    plain = asdict(part)
    acquired = part.recording.acquired_at
    plain["recording"]["acquired_at"] = acquired.isoformat() if acquired else None
    return {"overview": plain}


def show_long(parts: Iterable[LongPart], out: Console, err: Console, language: Language) -> None:
    """Progress while it runs, a summary at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    summary, stride = None, 0.0
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("sending", total=None)
        for part in parts:
            if isinstance(part, LongOverview):
                stride = part.stride
                progress.update(task, description="analysing", total=part.windows)
                info = part.recording
                what = f"{info.format}, {len(info.leads)} leads, {info.sampling_rate:g} Hz, {clock(info.duration)}"
                out.print(f"{what} · {part.model.name} v{part.model.version}", highlight=False)
            elif isinstance(part, LongWindow):
                progress.update(task, completed=part.index + 1)
            else:
                summary = part
    if summary is not None:
        _show(summary, stride, out, language)


def _show(summary: LongSummary, stride: float, out: Console, language: Language) -> None:
    words = _WORDS[language]
    table = Table(box=None, pad_edge=False)
    for name in ("code", "finding", "share", "run", "highest"):
        table.add_column(words[name], justify="left" if name in ("code", "finding") else "right")
    for found in summary.findings:
        table.add_row(
            found.code,
            found.name if language == "en" else found.name_pt,
            f"{found.share:.1%}",
            f"{clock(found.longest_run * stride)} {words['at']} {clock(found.longest_run_start)}",
            f"{found.highest_probability:.3f} {words['at']} {clock(found.highest_start)}",
        )
    out.print(table if summary.findings else words["none"])
    if summary.lowest_heart_rate and summary.highest_heart_rate and summary.mean_heart_rate is not None:
        low, high = summary.lowest_heart_rate, summary.highest_heart_rate
        out.print(
            f"{words['rate']}: {low.value:.0f} ({words['at']} {clock(low.start)}) – {summary.mean_heart_rate:.0f} – "
            f"{high.value:.0f} /min ({words['at']} {clock(high.start)})",
            highlight=False,
        )
    if summary.worst_quality:
        worst = summary.worst_quality
        out.print(f"{words['quality']}: {worst.value:.2f} {words['at']} {clock(worst.start)}", highlight=False)
    counts = {"analyzed": summary.analyzed, "windows": summary.windows, "refused": summary.refused}
    out.print(words["windows"].format(**counts), highlight=False)
    for count in summary.refusals:
        first = f"{words['first']} {clock(count.first_start)}"
        out.print(f"  {count.reason}: {count.windows} ({first})", highlight=False)
    out.print(words["research"], style="dim")
