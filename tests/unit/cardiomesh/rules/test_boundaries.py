"""Each side of every cut-off of every rule, for every patient it depends on: generated from the rule files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cardiomesh.ecg.recording import Patient, Sex
from cardiomesh.ecg.values import measured
from cardiomesh.rules import Facts, State, load_rules
from cardiomesh.rules.book import RuleBook, criteria_of
from cardiomesh.rules.evaluate import Evaluation
from cardiomesh.rules.schema import PATIENT_AGE, SEXES, Compare, Constant, Formula, Leads, Measure, Term, ages_of

#: A thousandth of what is printed: far under what is measured, far over rounding.
STEP = 1e-5
Assigned = dict[tuple[str, str], float]


class Cutoff(NamedTuple):
    """One comparison of one rule in one lead."""

    rule: str
    node: Compare
    lead: str

    @property
    def name(self) -> str:
        return f"{self.rule}:{self.node.value}{self.lead}{self.node.relation}{self.node.cutoff}"


def cutoffs() -> Iterator[Cutoff]:
    """Every comparison of the book."""
    for rule in load_rules().rules:
        for root in (rule.criteria, *rule.excluded_by):
            inside = {
                id(below): node.leads
                for node in criteria_of(root)
                if isinstance(node, Leads)
                for below in criteria_of(node.hold)
            }
            for node in criteria_of(root):
                if isinstance(node, Compare):
                    for lead in inside.get(id(node), ("",)):
                        yield Cutoff(rule.id, node, lead)


def assigned(node: Term, lead: str, target: float, patient: tuple[Sex, int]) -> Assigned:
    """Values of the measurements of a term such that the term itself is ``target``."""
    if isinstance(node, Measure):
        return {(node.key, lead if node.lead == "*" else node.lead): target}
    if isinstance(node, Constant):
        return {}
    first, *others = node.of
    match node.formula:
        case "sum" | "difference":
            given = sum(
                case.cutoff
                for part in others
                if isinstance(part, Constant)
                for case in part.constant
                if case.covers(*patient)
            )
            values = assigned(first, lead, target - given, patient)
            for part in others:
                values |= assigned(part, lead, 0.0, patient)
            return values
        case "product":
            return assigned(first, lead, target / 100, patient) | assigned(others[0], lead, 100.0, patient)
        case "ratio":
            return assigned(first, lead, target, patient) | assigned(others[0], lead, 1.0, patient)
        case _:
            values = {}
            for part in node.of:
                values |= assigned(part, lead, target, patient)
            return values


def state(book: RuleBook, cutoff: Cutoff, value: float, sex: Sex, age: int) -> State:
    """What the comparison says of ``value`` in such a patient."""
    values = assigned(cutoff.node.value, cutoff.lead, value, (sex, age))
    if (PATIENT_AGE, "") in values:
        facts = Facts({}, Patient(round(value), sex))
    else:
        units = {key: measured(v, book.labels[key[0]].unit) for key, v in values.items()}
        facts = Facts(units, Patient(age, sex))
    return Evaluation(book, facts).trace(cutoff.node, cutoff.lead).state


ALL = list(cutoffs())


def test_there_are_cutoffs_to_test() -> None:
    assert len(ALL) > 150


@pytest.mark.parametrize("cutoff", ALL, ids=lambda cutoff: cutoff.name)
def test_each_side_of_a_cutoff(book: RuleBook, cutoff: Cutoff) -> None:
    node = cutoff.node
    step = 1.0 if isinstance(node.value, Measure) and node.value.key == PATIENT_AGE else STEP
    met_at = {
        "<": (True, False, False),
        "<=": (True, True, False),
        ">": (False, False, True),
        ">=": (False, True, True),
    }
    for case in node.cases(cutoff.lead):
        for sex in SEXES:
            for age in ages_of(node.cases(cutoff.lead)):
                if not case.covers(sex, age):
                    continue
                found = [state(book, cutoff, case.cutoff + side * step, sex, age) is State.MET for side in (-1, 0, 1)]
                assert tuple(found) == met_at[node.relation], (case, sex, age)


@pytest.mark.parametrize(
    "cutoff",
    [c for c in ALL if len({case.cutoff for case in c.node.cases(c.lead)}) > 1],
    ids=lambda cutoff: cutoff.name,
)
def test_an_unknown_patient_is_decided_only_where_all_cutoffs_agree(book: RuleBook, cutoff: Cutoff) -> None:
    limits = sorted({case.cutoff for case in cutoff.node.cases(cutoff.lead)})
    values = {
        value: assigned(cutoff.node.value, cutoff.lead, value, ("male", 50))
        for value in (limits[0] - 1, (limits[0] + limits[-1]) / 2, limits[-1] + 1)
    }
    found = []
    for chosen in values.values():
        facts = Facts({key: measured(v, book.labels[key[0]].unit) for key, v in chosen.items()}, Patient())
        trace = Evaluation(book, facts).trace(cutoff.node, cutoff.lead)
        found.append(trace.state)
        assert trace.cutoff is None
        assert trace.margin is None
    assert found[1] is State.NOT_EVALUABLE
    assert {found[0], found[2]} == {State.MET, State.NOT_MET}


@pytest.mark.parametrize("cutoff", ALL, ids=lambda cutoff: cutoff.name)
def test_without_the_measurement_no_cutoff_is_met(book: RuleBook, cutoff: Cutoff) -> None:
    trace = Evaluation(book, Facts({}, Patient())).trace(cutoff.node, cutoff.lead)
    assert trace.state is (State.NOT_MET if cutoff.node.untold else State.NOT_EVALUABLE)
    assert trace.reason is not None


def test_only_a_pacemaker_may_go_unnoticed() -> None:
    untold = {(c.rule, c.node.value.key) for c in ALL if c.node.untold and isinstance(c.node.value, Measure)}
    assert untold == {("paced", "rhythm.paced_beats")}


def test_the_formula_helper_covers_every_formula(book: RuleBook) -> None:
    used = {node.value.formula for _, node, _ in ALL if isinstance(node.value, Formula)}
    assert used <= {"sum", "difference", "product", "ratio", "largest", "smallest", "magnitude"}
