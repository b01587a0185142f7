"""The report in words, from the trace by templates, the most urgent first. No sentence is written freely."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cardiomesh.cards import Urgency
from cardiomesh.ecg.recording import Patient
from cardiomesh.ecg.statements import taxonomy
from cardiomesh.language import Language
from cardiomesh.rules.logic import State
from cardiomesh.rules.schema import Rule, Text
from cardiomesh.rules.trace import Outcome, Trace
from cardiomesh.rules.words import both, joined, limit, number, quantity, unit_name
from explainer.rules.agreement import Agreement, Stance

__all__ = ["Kind", "Line", "disagreement", "evidence", "report"]


class Kind(StrEnum):
    """What a line of the report is."""

    FINDING = "finding"
    CONTRADICTION = "contradiction"
    CONSIDER = "consider"
    NOT_EVALUABLE = "not_evaluable"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence, how soon a human must look, and the rule it is of."""

    kind: Kind
    text: Text
    urgency: Urgency
    rule_id: str = ""


#: More than so many values make a sentence that nobody reads.
_MOST: Final = 4
_URGENCIES: Final = (Urgency.CRITICAL, Urgency.URGENT, Urgency.ROUTINE, Urgency.NONE)
_FINDING: Final = {
    Kind.FINDING: {"en": "{name}: {evidence}.", "pt": "{name}: {evidence}."},
    Kind.CONSIDER: {"en": "Consider {name}: {evidence}.", "pt": "Considerar {name}: {evidence}."},
}
_NOT_EVALUABLE: Final = {"en": "Not evaluable ({reason}): {names}.", "pt": "Não avaliável ({reason}): {names}."}
_PRESENT: Final = {
    True: {"en": "present", "pt": "presente"},
    False: {"en": "absent", "pt": "ausente"},
}
_DISAGREE: Final = {
    "en": "The model calls {code} ({name}) {presence}; the rules disagree: {rules}.",
    "pt": "O modelo considera {code} ({name}) {presence}; as regras discordam: {rules}.",
}
_MET: Final = {
    State.MET: {"en": "{name} is met", "pt": "{name}: critérios presentes"},
    State.NOT_MET: {"en": "{name} is not met", "pt": "{name}: critérios ausentes"},
}
_NOTHING: Final = Text(en="No rule is met.", pt="Nenhuma regra é satisfeita.")
_ADULT: Final = Text(
    en="The age is not known: the criteria of adults were used.",
    pt="A idade não é conhecida: foram usados os critérios de adultos.",
)
_UNPACED: Final = Text(
    en="A pacemaker was not looked for: the other rules hold only without one.",
    pt="Não se procurou marca-passo: as outras regras valem somente sem ele.",
)
_MORE: Final = {"en": "{count} more", "pt": "mais {count}"}


def report(outcomes: Sequence[Outcome], agreements: Sequence[Agreement], patient: Patient) -> tuple[Line, ...]:
    """All lines: findings, contradictions and what is to be considered by urgency, then what could not be told."""
    by_id = {outcome.rule.id: outcome for outcome in outcomes}
    met = {outcome.rule.id for outcome in outcomes if outcome.state is State.MET}
    lines = [
        _finding(outcome)
        for outcome in outcomes
        if outcome.rule.reported and outcome.rule.id in met and not met.intersection(outcome.rule.implied_by)
    ]
    lines = lines or [Line(Kind.NOTE, _NOTHING, Urgency.NONE)]
    for held in agreements:
        if held.stance is Stance.CONTRADICTS:
            rules = [by_id[rule_id] for rule_id in held.contradicting]
            urgencies = [Urgency(taxonomy()[held.code].urgency), *(o.rule.urgency for o in rules)]
            lines.append(Line(Kind.CONTRADICTION, disagreement(held, by_id), min(urgencies, key=_URGENCIES.index)))
    lines.sort(key=lambda line: (_URGENCIES.index(line.urgency), list(Kind).index(line.kind)))
    lines += _untold([o for o in outcomes if o.rule.reported and o.state is State.NOT_EVALUABLE])
    if "pacing" in by_id and by_id["pacing"].state is State.NOT_EVALUABLE:
        lines.append(Line(Kind.NOTE, _UNPACED, Urgency.NONE))
    if patient.age_years is None:
        lines.append(Line(Kind.NOTE, _ADULT, Urgency.NONE))
    return tuple(lines)


def _finding(outcome: Outcome) -> Line:
    rule = outcome.rule
    kind = Kind.CONSIDER if rule.consider else Kind.FINDING

    def say(language: Language) -> str:
        name = getattr(rule.name, language)
        return _FINDING[kind][language].format(name=name, evidence=evidence(outcome.criteria, language))

    return Line(kind, both(say), rule.urgency, rule.id)


def _untold(outcomes: list[Outcome]) -> Iterator[Line]:
    """What could not be told, the rules with one reason together, the most urgent rule first."""
    outcomes = sorted(outcomes, key=lambda outcome: _URGENCIES.index(outcome.rule.urgency))
    for reason in dict.fromkeys(outcome.reason for outcome in outcomes):
        alike = [outcome.rule for outcome in outcomes if outcome.reason == reason]

        def say(language: Language, reason: Text | None = reason, alike: list[Rule] = alike) -> str:
            why = getattr(reason, language) if reason else ""
            names = "; ".join(getattr(rule.name, language) for rule in alike)
            return _NOT_EVALUABLE[language].format(names=names, reason=why)

        yield Line(Kind.NOT_EVALUABLE, both(say), alike[0].urgency, alike[0].id if len(alike) == 1 else "")


def disagreement(held: Agreement, outcomes: Mapping[str, Outcome]) -> Text:
    """What the model says and what the rules say against it."""
    entry = taxonomy()[held.code]

    def say(language: Language) -> str:
        rules = [outcomes[rule_id] for rule_id in held.contradicting]
        said = [_MET[o.state][language].format(name=getattr(o.rule.name, language)) for o in rules]
        return _DISAGREE[language].format(
            code=held.code,
            name=entry.name if language == "en" else entry.name_pt,
            presence=_PRESENT[held.present][language],
            rules=joined(said, language),
        )

    return both(say)


def evidence(trace: Trace, language: Language) -> str:
    """The values that made a criterion met, each with its cut-offs; at most so many."""
    limits: dict[str, list[str]] = {}
    for fact, asked in _facts(trace, language):
        known = limits.setdefault(fact, [])
        if asked and asked not in known:
            known.append(asked)
    facts = [f"{fact} ({', '.join(asked)})" if asked else fact for fact, asked in limits.items()]
    if len(facts) > _MOST:
        facts = [*facts[: _MOST - 1], _MORE[language].format(count=len(facts) - _MOST + 1)]
    return "; ".join(facts) or getattr(trace.text, language)


def _facts(trace: Trace, language: Language) -> Iterator[tuple[str, str]]:
    """Each value that was met, and the cut-off it was met at."""
    if trace.state is not State.MET or trace.kind == "not":
        return
    if trace.value is not None and trace.subject is not None:
        value = quantity(trace.value, trace.unit, language, beside=trace.cutoff)
        yield f"{getattr(trace.subject, language)} {value}", _limit(trace, language)
    elif trace.kind == "leads":
        yield from _lead_facts(trace, language)
    elif trace.parts:
        for part in trace.parts:
            yield from _facts(part, language)
    else:
        yield getattr(trace.text, language), ""


def _lead_facts(trace: Trace, language: Language) -> Iterator[tuple[str, str]]:
    """What the leads show, those of one cut-off together: "J point in V4, V5 −0.10 / −0.19 mV"."""
    met = [part for part in trace.parts if part.state is State.MET]
    first = [next((leaf for leaf in part.leaves() if leaf.state is State.MET), part) for part in met]
    if any(leaf.value is None or leaf.subject is None for leaf in first):
        yield getattr(trace.text, language), ""  # met by a wave that is not there
        return
    for asked in dict.fromkeys(_limit(leaf, language) for leaf in first):
        alike = [leaf for leaf in first if _limit(leaf, language) == asked]
        example = alike[0]
        named = getattr(example.subject, language)
        if example.lead:
            named = re.sub(rf"\b{example.lead}\b", ", ".join(leaf.lead for leaf in alike), named)
        said = " / ".join(number(leaf.value, leaf.unit, language) for leaf in alike if leaf.value is not None)
        yield f"{named} {said}{unit_name(example.unit, language)}", asked


def _limit(trace: Trace, language: Language) -> str:
    if trace.cutoff is None or trace.relation is None:
        return ""
    return limit(trace.relation, (trace.cutoff,), trace.unit, language)
