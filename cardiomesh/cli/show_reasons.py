"""Why a model answered what it answered, as tables for a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cardiomesh.client import Attribution, Counterfactual, Explanation, Lime, Missing, Part
from cardiomesh.language import Language

__all__ = ["bar", "reasons"]

_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "attribution": "Where the evidence lies",
        "lime": "What the finding rests on",
        "counterfactual": "What would have to be different",
        "missing": "Not explained",
        "lead": "Lead",
        "share": "Share of positive evidence",
        "part": "Part of the beat",
        "loss": "Logit lost with an average heart's shape",
        "measurement": "Measurement",
        "before": "Recorded",
        "after": "Changed",
        "poor": "below its gate",
    },
    "pt": {
        "attribution": "Onde está a evidência",
        "lime": "Em que o achado se apoia",
        "counterfactual": "O que teria de ser diferente",
        "missing": "Não explicado",
        "lead": "Derivação",
        "share": "Parte da evidência favorável",
        "part": "Parte do batimento",
        "loss": "Logit perdido com a forma de um coração médio",
        "measurement": "Medida",
        "before": "Registrado",
        "after": "Mudado",
        "poor": "abaixo do critério",
    },
}
_BAR: Final = 20
_ROWS: Final = 6


def bar(value: float, style: str) -> Text:
    """A share of 0 to 1 as twenty places."""
    filled = round(max(0.0, min(1.0, value)) * _BAR)
    return Text("█" * filled, style=style) + Text("·" * (_BAR - filled), style="dim")


def reasons(console: Console, why: Explanation, language: Language) -> None:
    """All parts of an explanation, and what is missing."""
    words = _WORDS[language]
    for attribution in why.attributions:
        _attribution(console, attribution, words, language)
    for lime in why.limes:
        _lime(console, lime, words, language)
    for counterfactual in why.counterfactuals:
        _counterfactual(console, counterfactual, words, language)
    for missing in why.missing:
        _missing(console, missing, words, language)


def _table(title: str, part: Part) -> Table:
    return Table(title=f"{title}: {part.finding_code} ({part.method})", title_justify="left", box=None, pad_edge=False)


def _trust(console: Console, part: Part, words: dict[str, str]) -> None:
    """The figures of trust, the failed ones marked."""
    figures = [
        f"{f.name} {f.value:.2g} ({f.relation} {f.limit:g}){'' if f.passed else ' ' + words['poor']}"
        for f in part.fidelity
        if f.scope == "explanation" or not f.passed
    ]
    console.print(" · ".join([*figures, f"{part.compute_milliseconds:.0f} ms"]), style="dim", highlight=False)


def _attribution(console: Console, part: Attribution, words: dict[str, str], language: Language) -> None:
    console.print()
    table = _table(words["attribution"], part)
    table.add_column(words["lead"])
    table.add_column(words["share"], justify="right")
    table.add_column("")
    for lead, share in sorted(part.lead_shares.items(), key=lambda pair: -pair[1])[:_ROWS]:
        table.add_row(lead, f"{share:.0%}", bar(share, "magenta"))
    if part.lead_shares:
        console.print(table)
    else:
        console.print(table.title, style="italic")
    console.print(part.summary[language], highlight=False)
    _trust(console, part, words)


def _lime(console: Console, part: Lime, words: dict[str, str], language: Language) -> None:
    console.print()
    table = _table(words["lime"], part)
    table.add_column(words["part"])
    table.add_column(words["loss"], justify="right")
    table.add_column("")
    largest = max((abs(f.weight) for f in part.features), default=0.0) or 1.0
    for f in part.features[:_ROWS]:
        style = "magenta" if f.weight > 0 else "cyan"
        table.add_row(f"{f.segment} {', '.join(f.leads)}", f"{f.weight:+.2f}", bar(abs(f.weight) / largest, style))
    console.print(table)
    console.print(part.summary[language], highlight=False)
    _trust(console, part, words)


def _counterfactual(console: Console, part: Counterfactual, words: dict[str, str], language: Language) -> None:
    console.print()
    table = _table(words["counterfactual"], part)
    table.add_column(words["measurement"])
    table.add_column(words["before"], justify="right")
    table.add_column(words["after"], justify="right")
    for m in part.moved[:_ROWS]:
        digits = 2 if m.unit == "mV" else 0
        name = f"{m.key.rpartition('.')[2]} {m.lead}".strip()
        table.add_row(name, f"{m.before:.{digits}f} {m.unit}", f"{m.after:.{digits}f} {m.unit}")
    if part.moved:
        console.print(table)
    else:
        console.print(table.title, style="italic")
    console.print(part.summary[language], highlight=False)
    _trust(console, part, words)


def _missing(console: Console, part: Missing, words: dict[str, str], language: Language) -> None:
    what = " ".join(word for word in (part.method, part.finding_code) if word)
    console.print(f"{words['missing']}: {what}: {part.text[language]}", style="yellow", highlight=False)
