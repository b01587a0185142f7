"""Answers as tables for a terminal, in English or Brazilian Portuguese."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cardiomesh.cli.show_decision import OUTCOMES, decision
from cardiomesh.cli.show_reasons import bar, reasons
from cardiomesh.cli.show_routing import routing_words
from cardiomesh.client import Analysis, Explanation, ModelInfo, RuleEvaluation
from cardiomesh.language import Language, quality_reason
from cardiomesh.local import Addresses, MeshStatus

__all__ = ["addresses", "answer", "model_dict", "models", "status"]

_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "findings": "Findings",
        "code": "Code",
        "finding": "Finding",
        "probability": "Probability",
        "threshold": "Threshold",
        "urgency": "Urgency",
        "none": "No finding reaches its threshold.",
        "quality": "Quality",
        "model": "Model",
        "time": "Time",
        "cached": "computed earlier for the same signal (cache)",
        "fresh": "computed now",
        "recording": "Recording",
        "rules": "What the published criteria say",
        "outcome": "Outcome",
        "research": "Research use. Not cleared as a medical device.",
    },
    "pt": {
        "findings": "Achados",
        "code": "Código",
        "finding": "Achado",
        "probability": "Probabilidade",
        "threshold": "Limiar",
        "urgency": "Urgência",
        "none": "Nenhum achado atinge seu limiar.",
        "quality": "Qualidade",
        "model": "Modelo",
        "time": "Tempo",
        "cached": "calculado antes para o mesmo sinal (cache)",
        "fresh": "calculado agora",
        "recording": "Registro",
        "rules": "O que dizem os critérios publicados",
        "outcome": "Resultado",
        "research": "Uso em pesquisa. Sem registro como dispositivo médico.",
    },
}
_MEASURED: Final[dict[str, dict[str, str]]] = {
    "en": {
        "rhythm.heart_rate": "Heart rate",
        "intervals.pr": "PR",
        "intervals.qrs": "QRS",
        "intervals.qt": "QT",
        "intervals.qtc_fridericia": "QTc (Fridericia)",
        "axis.qrs": "QRS axis",
    },
    "pt": {
        "rhythm.heart_rate": "Frequência cardíaca",
        "intervals.pr": "PR",
        "intervals.qrs": "QRS",
        "intervals.qt": "QT",
        "intervals.qtc_fridericia": "QTc (Fridericia)",
        "axis.qrs": "Eixo do QRS",
    },
}
_URGENCY_STYLE: Final = {"critical": "bold red", "urgent": "red", "routine": "yellow", "none": "green"}
_URGENCY_PT: Final = {"critical": "crítica", "urgent": "urgente", "routine": "rotina", "none": "nenhuma"}


def answer(console: Console, result: Analysis, why: Explanation, language: Language) -> None:
    """One answer and its explanation."""
    _analysis(console, result, language)
    if why.rules is not None:
        _rules(console, why.rules, language)
    reasons(console, why, language)


def _analysis(console: Console, result: Analysis, language: Language) -> None:
    """Findings, quality, model and time of one answer."""
    words = _WORDS[language]
    table = Table(title=words["findings"], title_justify="left", box=None, pad_edge=False)
    table.add_column(words["code"])
    table.add_column(words["finding"])
    table.add_column(words["probability"], justify="right")
    table.add_column("")
    table.add_column(words["threshold"], justify="right")
    table.add_column(words["urgency"])
    table.add_column(words["outcome"] if result.decision else "")
    decision(console, result, language)
    for f in result.present:
        said = f.outcome or ""
        doubt = "bold" if said == "uncertain" else ""
        style = _URGENCY_STYLE.get(f.urgency, "")
        table.add_row(
            Text(f.code, style="bold"),
            f.name if language == "en" else f.name_pt,
            f"{f.probability:.3f}",
            bar(f.probability, style),
            f"{f.threshold:.3f}" + ("*" if f.shifts else ""),
            Text(f.urgency if language == "en" else _URGENCY_PT.get(f.urgency, f.urgency), style=style),
            Text(OUTCOMES[language].get(said, said), style=doubt),
        )
    console.print(table if result.present else words["none"])
    for text in dict.fromkeys(shift.text[language] for f in result.present for shift in f.shifts):
        console.print(f"* {text}", style="dim", highlight=False)
    facts = Table(box=None, show_header=False, pad_edge=False)
    info = result.recording
    leads = f"{len(info.leads)} leads" if language == "en" else f"{len(info.leads)} derivações"
    device = " · ".join(part for part in (info.manufacturer, info.device) if part)
    what = f"{info.format}, {leads}, {info.sampling_rate:g} Hz, {info.duration:g} s"
    facts.add_row(words["recording"], " · ".join(part for part in (what, device) if part))
    reasons = [
        f"{q.lead}: {quality_reason(r.code, r.message, language)}" for q in result.quality.leads for r in q.reasons
    ]
    reasons += [quality_reason(r.code, r.message, language) for r in result.quality.reasons]
    facts.add_row(words["quality"], f"{result.quality.grade} ({result.quality.score:.2f}) " + "; ".join(reasons[:4]))
    facts.add_row(words["model"], f"{result.model.name} v{result.model.version} · {result.preprocessing_version}")
    if result.routing is not None:
        style = "bold red" if result.routing.reason == "fallback" else ""
        facts.add_row("", Text(routing_words(result.routing, language), style=style))
    for key, label in _MEASURED[language].items():
        for found in result.measurements:
            if found.key == key:
                reason = found.reason_pt if language == "pt" and found.reason_pt else found.reason
                value = f"{found.value:.0f} {found.unit}" if found.value is not None else reason
                facts.add_row(label, value)
    hops = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in result.timing.hops.items())
    source = words["cached"] if result.from_cache else words["fresh"]
    facts.add_row(words["time"], f"{result.timing.total_milliseconds:.1f} ms ({hops}) · {source}")
    console.print()
    console.print(facts)
    console.print(words["research"], style="dim")


def _rules(console: Console, found: RuleEvaluation, language: Language) -> None:
    """The report that the rules make, the most urgent first."""
    words = _WORDS[language]
    table = Table(title=words["rules"], title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column()
    for line in found.report:
        untold = line.kind in ("not_evaluable", "note")
        style = "dim" if untold else _URGENCY_STYLE.get(line.urgency, "")
        urgency = line.urgency if language == "en" else _URGENCY_PT.get(line.urgency, line.urgency)
        table.add_row(Text("" if untold else urgency, style=style), Text(line.text[language], style=style))
    console.print()
    console.print(table)


def model_dict(info: ModelInfo) -> dict[str, Any]:
    """One model as plain JSON types."""
    return asdict(info)


def models(console: Console, served: tuple[ModelInfo, ...]) -> None:
    """The served models."""
    table = Table(box=None, pad_edge=False)
    for column in ("Model", "Version", "Parameters", "Statements", "Ready", "Description"):
        table.add_column(column)
    for info in served:
        name = Text(info.model.name, style="bold")
        table.add_row(
            name + Text(" (default)", style="dim") if info.is_default else name,
            str(info.model.version),
            f"{info.parameters / 1e6:.2f} M",
            str(len(info.finding_codes)),
            "yes" if info.ready else "no",
            info.description,
        )
    console.print(table)


def addresses(where: Addresses, key: str) -> str:
    """Where a started mesh listens, and the key that it opens to."""
    opened = f", development key {key}" if key else ""
    return f"gateway gRPC {where.gateway}, HTTP http://{where.http}{opened}"


def status(console: Console, now: MeshStatus, runtime_dir: Path) -> None:
    """The processes of the embedded mesh."""
    console.print(f"mesh: [bold]{now.state.value}[/] ({runtime_dir})", highlight=False)
    if now.message:
        console.print(now.message, markup=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("Process", "State", "PID", "Address", "Restarts"):
        table.add_column(column)
    for name, process in now.processes.items():
        address = now.addresses.get(name, "")
        table.add_row(name, process.state.value, str(process.pid or ""), address, str(process.restarts))
    if now.processes:
        console.print(table)
