"""The rules' part of an explanation as the sheet's page of reasons shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from cardiomesh import report
from cardiomesh.cards import Urgency
from cardiomesh.client import Criterion, Rule, RuleEvaluation
from cardiomesh.ecg.statements import taxonomy
from cardiomesh.language import Language
from cardiomesh.rules.words import number, quantity

__all__ = ["rules_panel"]

_AGREEMENTS: Final[Mapping[str, Literal["supports", "contradicts", "silent"]]] = {
    "supports": "supports",
    "contradicts": "contradicts",
    "silent": "silent",
}
#: Deeper than this nobody reads on.
_DEPTH: Final = 2


def rules_panel(found: RuleEvaluation, code: str, name: str, language: Language) -> report.RulesPanel:
    """The report, and the trace of every rule that speaks to the finding ``code``."""
    held = next((a for a in found.agreements if a.finding_code == code), None)
    decisive = {*held.supporting, *held.contradicting} if held else set()
    entry = taxonomy().get(code)
    about = {code, entry.superclass if entry else code}
    rules = [rule for rule in found.rules if about.intersection(rule.statements) or rule.id in decisive]
    rules.sort(key=lambda rule: rule.id not in decisive)
    return report.RulesPanel(
        report=tuple(
            report.ReportRow(
                line.text[language],
                Urgency(line.urgency),
                aside=line.kind in ("not_evaluable", "note"),
                contradiction=line.kind == "contradiction",
            )
            for line in found.report
        ),
        finding=code,
        name=name,
        agreement=_AGREEMENTS.get(held.agreement, "") if held else "",
        traced=tuple(_traced(rule, found, language) for rule in rules),
    )


def _traced(rule: Rule, found: RuleEvaluation, language: Language) -> report.TracedRule:
    rows = list(_rows(rule.criteria, found, language, 0))
    for exclusion in rule.exclusions:
        if exclusion.state != "not_met":
            rows += _rows(exclusion, found, language, 0)
    return report.TracedRule(
        name=rule.name[language],
        state=report.RuleState(rule.state),
        criteria=tuple(rows),
        source=rule.source,
        reason=rule.reason[language],
    )


def _rows(node: Criterion, found: RuleEvaluation, language: Language, depth: int) -> Iterator[report.Asked]:
    """One row per criterion; leads that are asked the same thing share one, and only those that meet it say more."""
    below: tuple[Criterion, ...] = ()
    value = None
    if node.kind == "rule":
        criteria = found.rule(node.measurement).criteria
        below = criteria.parts if criteria.kind == "all" else (criteria,)
    elif node.kind == "leads":
        value = _by_lead(node, language)
        below = tuple(leaf for part in node.parts if part.parts and part.state == "met" for leaf in part.leaves())
    elif node.kind == "all" and depth == 0:
        for part in node.parts:
            yield from _rows(part, found, language, depth)
        return
    else:
        below = node.parts
    yield _row(node, language, depth, value)
    if depth < _DEPTH:
        for part in below:
            yield from _rows(part, found, language, depth + 1)


def _row(node: Criterion, language: Language, depth: int, value: str | None = None) -> report.Asked:
    text = node.text[language]
    if value is None:
        told = node.value is not None and node.kind not in ("present", "absent")
        value = quantity(node.value, node.unit, language, node.cutoff) if told and node.value is not None else ""
        if node.value is None and not node.parts and node.reason[language]:
            text = f"{text} — {node.reason[language]}"
    return report.Asked(text, value, report.RuleState(node.state), depth)


def _by_lead(node: Criterion, language: Language) -> str:
    """V1 0.12, V2 0.31 mV: the lead's own values, those that are met marked."""
    said = []
    for part in node.parts:
        mark = {"met": "✓", "not_met": "", "not_evaluable": "?"}[part.state]
        value = "" if part.value is None else f" {number(part.value, part.unit, language)}"
        said.append(f"{part.lead}{value}{mark}")
    return ", ".join(said)
