"""From facts and a rule to a traced answer in three-valued logic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cardiomesh.ecg.reasons import why
from cardiomesh.ecg.recording import Sex
from cardiomesh.ecg.values import Measurement, Status, measured, not_evaluable
from cardiomesh.language import Language
from cardiomesh.rules.book import RuleBook, constants_of
from cardiomesh.rules.facts import Facts
from cardiomesh.rules.logic import State, all_of, at_least, negated
from cardiomesh.rules.schema import (
    ANY_LEAD,
    SEXES,
    All,
    AnyOf,
    Case,
    Compare,
    Constant,
    Count,
    Criterion,
    Formula,
    Leads,
    Measure,
    Not,
    Other,
    Relation,
    Rule,
    Score,
    Term,
    Text,
    Wave,
    ages_of,
)
from cardiomesh.rules.trace import Outcome, Trace
from cardiomesh.rules.words import both, comparison, joined, shortfall, subject, term

__all__ = ["Evaluation", "evaluate"]

_HOLDS: Final[Mapping[Relation, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPUTE: Final[Mapping[str, Callable[[list[float]], float]]] = {
    "sum": sum,
    "difference": lambda values: values[0] - values[1],
    "product": lambda values: values[0] * values[1],
    "ratio": lambda values: values[0] / values[1],
    "largest": max,
    "smallest": min,
    "magnitude": lambda values: abs(values[0]),
}
#: Sums of decimal numbers are compared to this many decimals, so that 1.2 + 2.3 reaches 3.5.
_DECIMALS: Final = 9

#: Reasons carry measured values, so that their number has no end of its own.
_MOST_TEXTS: Final = 10_000

_NEEDS_PATIENT: Final = Text(
    en="depends on the patient's age or sex, which is not known",
    pt="depende da idade ou do sexo do paciente, que não é conhecido",
)
_TOO_YOUNG: Final = Text(en="the criteria are those of adults", pt="os critérios são os de adultos")
_EXCLUDED: Final = {"en": "does not apply: {}", "pt": "não se aplica: {}"}
_MAYBE_EXCLUDED: Final = {"en": "cannot be told whether it applies: {}", "pt": "não se sabe se se aplica: {}"}
_COUNTED: Final = {
    "en": {"all": "in all of {leads}", "any": "in {leads}", "some": "in {count} of {leads}"},
    "pt": {"all": "em todas de {leads}", "any": "em {leads}", "some": "em {count} de {leads}"},
}
_CONTIGUOUS: Final = {
    "en": "in {count} contiguous leads of {leads}",
    "pt": "em {count} derivações contíguas de {leads}",
}
_PRESENCE: Final = {
    "present": {"en": "{} present", "pt": "{}: presente"},
    "absent": {"en": "{} absent", "pt": "{}: ausente"},
}
_POINTS: Final = {"en": "{label}: at least {points} points", "pt": "{label}: pelo menos {points} pontos"}
_NOT: Final = {"en": "not: {}", "pt": "não: {}"}
_OF: Final = {
    "all": {"en": "all of {n} criteria", "pt": "todos os {n} critérios"},
    "any": {"en": "any of {n} criteria", "pt": "um de {n} critérios"},
    "at_least": {"en": "{count} of {n} criteria", "pt": "{count} de {n} critérios"},
}


def evaluate(book: RuleBook, facts: Facts) -> tuple[Outcome, ...]:
    """Every rule of the book on one recording, in the book's order."""
    run = Evaluation(book, facts)
    return tuple(run.outcome(rule.id) for rule in book.rules)


@dataclass(slots=True)
class Evaluation:
    """All rules on one recording; remembers what came of each, because rules refer to each other."""

    book: RuleBook
    facts: Facts
    done: dict[str, Outcome]

    def __init__(self, book: RuleBook, facts: Facts) -> None:
        self.book, self.facts, self.done = book, facts, {}

    def _said(self, node: Criterion, lead: str, make: Callable[[Language], str], *more: object) -> Text:
        """What a node asks, in words: made once per node, lead and whatever else the words depend on."""
        key = (id(node), lead, *more)
        text = self.book.texts.get(key)
        if text is None:
            if len(self.book.texts) > _MOST_TEXTS:
                self.book.texts.clear()
            text = self.book.texts[key] = both(make)
        return text

    def outcome(self, rule_id: str) -> Outcome:
        if rule_id not in self.done:
            self.done[rule_id] = self._outcome(self.book[rule_id])
        return self.done[rule_id]

    def _outcome(self, rule: Rule) -> Outcome:
        criteria = self.trace(rule.criteria)
        exclusions = tuple(self.trace(node) for node in rule.excluded_by)
        age = self.facts.patient.age_years
        if age is not None and age < rule.age_from:
            return Outcome(rule, State.NOT_EVALUABLE, criteria, exclusions, _TOO_YOUNG)
        for wording, state in ((_EXCLUDED, State.MET), (_MAYBE_EXCLUDED, State.NOT_EVALUABLE)):
            found = [trace for trace in exclusions if trace.state is state]
            if found and (state is State.MET or criteria.state is not State.NOT_MET):
                words = wording

                def say(language: Language, words: Mapping[str, str] = words, found: list[Trace] = found) -> str:
                    return words[language].format(joined([getattr(t.text, language) for t in found], language))

                return Outcome(rule, State.NOT_EVALUABLE, criteria, exclusions, both(say))
        reason = _first_reason(criteria) if criteria.state is State.NOT_EVALUABLE else None
        return Outcome(rule, criteria.state, criteria, exclusions, reason)

    def trace(self, node: Criterion, lead: str = "") -> Trace:
        match node:
            case Compare():
                return self._compare(node, lead)
            case Wave():
                return self._wave(node, lead)
            case All():
                parts = tuple(self.trace(part, lead) for part in node.all)
                return Trace("all", all_of(p.state for p in parts), self._counted("all", node, parts), parts, lead)
            case AnyOf():
                parts = tuple(self.trace(part, lead) for part in node.any)
                return Trace(
                    "any", at_least(1, (p.state for p in parts)), self._counted("any", node, parts), parts, lead
                )
            case Count():
                parts = tuple(self.trace(part, lead) for part in node.among)
                state = at_least(node.count, (p.state for p in parts))
                return Trace("at_least", state, self._counted("at_least", node, parts, node.count), parts, lead)
            case Score():
                return self._score(node, lead)
            case Not():
                part = self.trace(node.negated, lead)
                text = both(lambda language: _NOT[language].format(getattr(part.text, language)))
                return Trace("not", negated(part.state), text, (part,), lead, reason=part.reason)
            case Leads():
                return self._leads(node)
            case Other():
                found = self.outcome(node.rule)
                parts = (found.criteria,)
                return Trace("rule", found.state, found.rule.name, parts, measurement=node.rule, reason=found.reason)

    def _compare(self, node: Compare, lead: str) -> Trace:
        cases = node.cases(lead)
        patients = self._patients(node, cases)
        found = [self._number(node.value, lead, patient) for patient in patients]
        asked = [_of_patient(cases, patient) for patient in patients]
        cutoffs = tuple(sorted(set(asked))) if len(asked) > 1 else tuple(asked)
        cutoff = asked[0] if len(cutoffs) == 1 else None
        values = [None if number.value is None else round(number.value, _DECIMALS) for number in found]
        value = values[0] if values.count(values[0]) == len(values) else None
        state, reason = State.NOT_EVALUABLE, None
        missing = next((number for number in found if number.value is None), None)
        if missing is not None:
            reason = self._shortfall(node, lead, missing)
            if missing.status is Status.ABSENT and node.absent is not None:
                state = State.MET if node.absent == "met" else State.NOT_MET
            elif missing.status is Status.NOT_EVALUABLE and node.untold is not None:
                state = State.NOT_MET
        else:
            holds = _HOLDS[node.relation]
            outcomes = {holds(v, c) for v, c in zip(values, asked, strict=True) if v is not None}
            if len(outcomes) == 1:
                state = State.MET if outcomes.pop() else State.NOT_MET
            else:
                reason = _NEEDS_PATIENT
        margin = None
        if value is not None and cutoff is not None:
            margin = round(value - cutoff if node.relation in (">", ">=") else cutoff - value, _DECIMALS)
        text, name = self._names(node, lead, cutoffs)
        return Trace(
            kind="compare",
            state=state,
            text=text,
            subject=name,
            lead=_lead_of(node.value, lead),
            measurement=node.value.key if isinstance(node.value, Measure) else name.en,
            value=value,
            relation=node.relation,
            cutoff=cutoff,
            unit=node.unit,
            margin=margin,
            reason=reason,
        )

    def _names(self, node: Compare, lead: str, cutoffs: tuple[float, ...]) -> tuple[Text, Text]:
        """What is asked, and of what."""
        labels = self.book.labels
        return (
            self._said(node, lead, lambda language: comparison(node, lead, cutoffs, labels, language), cutoffs),
            self._said(node, lead, lambda language: subject(node, lead, labels, language)),
        )

    def _shortfall(self, node: Compare | Wave, lead: str, found: Measurement) -> Text:
        term = node.value if isinstance(node, Compare) else node.wave
        labels = self.book.labels
        return self._said(
            node, lead, lambda language: shortfall(term, lead, found, labels, language), found.status, found.reason
        )

    def _patients(self, node: Compare, cutoffs: tuple[Case, ...]) -> list[tuple[Sex, int]]:
        """Everybody this patient may be, as far as the criterion can tell them apart."""
        patient = self.facts.patient
        if patient.sex is not None and patient.age_years is not None:
            return [(patient.sex, patient.age_years)]
        cases = [cutoffs, *(constant.constant for constant in constants_of(node.value))]
        sexes = SEXES if patient.sex is None else (patient.sex,)
        ages = set().union(*map(ages_of, cases)) if patient.age_years is None else {patient.age_years}
        return [(sex, age) for sex in sexes for age in sorted(ages)]

    def _number(self, node: Term, lead: str, patient: tuple[Sex, int]) -> Measurement:
        if isinstance(node, Measure):
            where = lead if node.lead == ANY_LEAD else node.lead
            found = self.facts.look_up(node.key, where, self.book.labels[node.key])
            if found.status is Status.ABSENT and node.absent_as is not None:
                return measured(node.absent_as, found.unit)
            return found
        if isinstance(node, Constant):
            return measured(_of_patient(node.constant, patient), node.unit)
        parts = [self._number(part, lead, patient) for part in node.of]
        unit = self.book.unit(node)
        missing = [p for p in parts if p.status is Status.NOT_EVALUABLE]
        if node.formula in ("largest", "smallest") and not missing:
            # A wave that is not there is not the largest; one that cannot be told may be.
            parts = [p for p in parts if p.value is not None] or parts[:1]
        missing = missing or [p for p in parts if p.value is None]
        if missing:
            return Measurement(None, unit, missing[0].status, missing[0].reason)
        return _computed(node, [p.value for p in parts if p.value is not None], unit)

    def _wave(self, node: Wave, lead: str) -> Trace:
        key, labels = node.wave.key, self.book.labels
        where = lead if node.wave.lead == ANY_LEAD else node.wave.lead
        found = self.facts.look_up(key, where, labels[key])
        text = self._said(
            node, lead, lambda language: _PRESENCE[node.is_][language].format(term(node.wave, lead, labels, language))
        )
        wanted = Status.MEASURED if node.is_ == "present" else Status.ABSENT
        if found.status is Status.NOT_EVALUABLE:
            state, reason = State.NOT_EVALUABLE, self._shortfall(node, lead, found)
        else:
            state, reason = (State.MET if found.status is wanted else State.NOT_MET), None
        return Trace(
            node.is_, state, text, lead=where, measurement=key, value=found.value, unit=found.unit, reason=reason
        )

    def _score(self, node: Score, lead: str) -> Trace:
        parts = tuple(self.trace(entry.when, lead) for entry in node.score)
        weights = [entry.points for entry in node.score]
        sure = sum(w for w, p in zip(weights, parts, strict=True) if p.state is State.MET)
        possible = sure + sum(w for w, p in zip(weights, parts, strict=True) if p.state is State.NOT_EVALUABLE)
        state = State.MET if sure >= node.points else State.NOT_EVALUABLE if possible >= node.points else State.NOT_MET
        text = self._said(
            node,
            lead,
            lambda language: _POINTS[language].format(label=getattr(node.label, language), points=node.points),
        )
        return Trace(
            "score",
            state,
            text,
            parts,
            value=float(sure),
            relation=">=",
            cutoff=float(node.points),
            unit="1",
            margin=float(sure - node.points),
            subject=node.label,
        )

    def _leads(self, node: Leads) -> Trace:
        parts = tuple(self.trace(node.hold, lead) for lead in node.leads)
        states = [part.state for part in parts]
        if node.contiguous:
            runs = (states[k : k + node.count] for k in range(len(states) - node.count + 1))
            state = at_least(1, (all_of(run) for run in runs))
        else:
            state = at_least(node.count, states)

        def say(language: Language) -> str:
            leads = joined(list(node.leads), language)
            if node.contiguous:
                where = _CONTIGUOUS[language]
            else:
                kind = node.need if isinstance(node.need, str) else "some"
                where = _COUNTED[language][kind]
            where = where.format(leads=leads, count=node.count)
            return f"{getattr(node.label, language)} {where}"

        return Trace("leads", state, self._said(node, "", say), parts)

    def _counted(self, kind: str, node: All | AnyOf | Count, parts: tuple[Trace, ...], count: int = 0) -> Text:
        if node.label is not None:
            return node.label
        return self._said(node, "", lambda language: _OF[kind][language].format(n=len(parts), count=count))


def _of_patient(cases: tuple[Case, ...], patient: tuple[Sex, int]) -> float:
    if len(cases) == 1:
        return cases[0].cutoff
    return next(case.cutoff for case in cases if case.covers(*patient))


def _computed(node: Formula, values: list[float], unit: str) -> Measurement:
    if node.formula == "ratio" and not values[1]:
        return not_evaluable(unit, why("NOTHING_TO_DIVIDE_BY"))
    return measured(round(_COMPUTE[node.formula](values), _DECIMALS), unit)


def _lead_of(node: Term, lead: str) -> str:
    """The one lead a term is about, or nothing."""
    if isinstance(node, Measure):
        return lead if node.lead == ANY_LEAD else node.lead
    if isinstance(node, Constant):
        return ""
    leads = {_lead_of(part, lead) for part in node.of} - {""}
    return leads.pop() if len(leads) == 1 else ""


def _first_reason(trace: Trace) -> Text | None:
    """The reason of the first criterion that could not be told."""
    if trace.reason is not None and not trace.parts:
        return trace.reason
    return next((_first_reason(part) for part in trace.parts if part.state is State.NOT_EVALUABLE), trace.reason)
