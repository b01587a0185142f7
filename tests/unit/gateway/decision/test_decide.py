"""One answer under the policy: thresholds, outcomes, what a human must read, what comes first."""

from __future__ import annotations

import math

import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard, Urgency
from gateway.decision import Decider, by_urgency, load_policy
from gateway.decision.outcome import outcome
from gateway.findings import findings
from tests.cards import card_of

Answer = gateway_pb2.AnalyzeResponse
EMERGENCY, AMBULATORY = types_pb2.SETTING_EMERGENCY, types_pb2.SETTING_AMBULATORY
NOWHERE = types_pb2.SETTING_UNSPECIFIED
URGENCIES = {"NORM": Urgency.NONE, "MI": Urgency.URGENT, "AFIB": Urgency.URGENT, "LVH": Urgency.ROUTINE}


def with_limits(
    card: ModelCard, absent_to: float, present_from: float, urgencies: dict[str, Urgency] = URGENCIES
) -> ModelCard:
    head = card.heads[0]
    classes = tuple(
        s.model_copy(update={"absent_to": absent_to, "present_from": present_from, "urgency": urgencies[s.code]})
        for s in head.classes
    )
    return card.model_copy(update={"heads": (head.model_copy(update={"classes": classes}),)})


@pytest.fixture
def card() -> ModelCard:
    """Four statements at a threshold of 0.5; between 0.3 and 0.7 nothing is certain."""
    return with_limits(card_of("tiny", classes=tuple(URGENCIES)), 0.7, 0.3)


@pytest.fixture(scope="module")
def decider() -> Decider:
    return Decider(load_policy())


def answer_of(card: ModelCard, *probabilities: float, grade: str = "A", age: int | None = None) -> Answer:
    logits = [math.log(p / (1 - p)) for p in probabilities]
    answer = Answer(findings=findings(card, {"statements": logits}))
    answer.quality.grade = types_pb2.Grade.Value(f"GRADE_{grade}")
    if age is not None:
        answer.recording.patient.age_years = age
    return answer


def thresholds(answer: Answer) -> dict[str, float]:
    return {f.code: f.threshold for f in answer.findings}


def test_with_nothing_given_the_thresholds_are_the_cards(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.5, 0.49, 0.1, 0.9)
    before = [(f.threshold, f.present) for f in answer.findings]
    decider.decide(answer, card, NOWHERE)
    assert [(f.threshold, f.present) for f in answer.findings] == before
    assert [f.base_threshold for f in answer.findings] == [0.5] * 4
    assert not any(f.shifts for f in answer.findings)


def test_in_an_emergency_urgent_findings_are_called_sooner(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.45, 0.45, 0.45, 0.45)
    decider.decide(answer, card, EMERGENCY)
    normal, infarction, _, hypertrophy = answer.findings
    assert infarction.threshold == pytest.approx(0.4)  # odds of 1 over 1.5
    assert infarction.present
    assert not normal.present
    assert not hypertrophy.present
    (shift,) = infarction.shifts
    assert (shift.rule, shift.log_odds) == ("emergency", pytest.approx(-math.log(1.5)))
    assert shift.text != shift.text_pt
    assert answer.decision.setting == EMERGENCY


def test_a_card_threshold_plus_the_shifts_is_the_threshold(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.5, 0.5, 0.5, 0.5, grade="C", age=30)
    decider.decide(answer, card, EMERGENCY)
    for f in answer.findings:
        logit = math.log(f.base_threshold / (1 - f.base_threshold)) + sum(s.log_odds for s in f.shifts)
        assert math.log(f.threshold / (1 - f.threshold)) == pytest.approx(logit)


def test_shifts_together_stay_within_the_bound_and_say_so(card: ModelCard) -> None:
    policy = load_policy()
    (emergency,) = (shift for shift in policy.shifts if shift.id == "emergency")
    again = emergency.model_copy(update={"id": "again"})
    answer = answer_of(card, 0.5, 0.5, 0.5, 0.5)
    Decider(policy.model_copy(update={"shifts": (emergency, again)})).decide(answer, card, EMERGENCY)
    infarction = answer.findings[1]
    assert [s.rule for s in infarction.shifts] == ["emergency", "again", "capped"]
    assert infarction.threshold == pytest.approx(1 / 3)  # odds of 1 over the bound of 2


@pytest.mark.parametrize(("age", "moved"), [(34, True), (35, False), (None, False)])
def test_ages_have_exact_edges(decider: Decider, card: ModelCard, age: int | None, moved: bool) -> None:
    answer = answer_of(card, 0.5, 0.5, 0.5, 0.5, age=age)
    decider.decide(answer, card, NOWHERE)
    assert any(f.shifts for f in answer.findings) is moved


def test_an_ambulance_and_a_check_up_never_raise_what_is_urgent(decider: Decider, card: ModelCard) -> None:
    for setting in types_pb2.Setting.values():
        for grade in "ABC":
            for age in (None, 20, 50):
                answer = answer_of(card, 0.5, 0.5, 0.5, 0.5, grade=grade, age=age)
                decider.decide(answer, card, setting)
                assert thresholds(answer)["MI"] <= 0.5
                assert thresholds(answer)["AFIB"] <= 0.5


PRESENT, ABSENT, UNCERTAIN, UNSPECIFIED = (
    types_pb2.OUTCOME_PRESENT,
    types_pb2.OUTCOME_ABSENT,
    types_pb2.OUTCOME_UNCERTAIN,
    types_pb2.OUTCOME_UNSPECIFIED,
)


@pytest.mark.parametrize(
    ("prediction_set", "called", "not_called"),
    [
        (types_pb2.PREDICTION_SET_PRESENT, PRESENT, UNCERTAIN),
        (types_pb2.PREDICTION_SET_ABSENT, UNCERTAIN, ABSENT),
        (types_pb2.PREDICTION_SET_BOTH, UNCERTAIN, UNCERTAIN),
        (types_pb2.PREDICTION_SET_NONE, UNCERTAIN, UNCERTAIN),
        (types_pb2.PREDICTION_SET_UNSPECIFIED, UNSPECIFIED, UNSPECIFIED),
    ],
)
def test_every_cell_of_the_table(
    card: ModelCard, prediction_set: types_pb2.PredictionSet.ValueType, called: int, not_called: int
) -> None:
    statement = card.statements[1]
    assert outcome(statement, prediction_set, True) == called
    assert outcome(statement, prediction_set, False) == not_called


def test_where_presence_can_never_be_ruled_out_absence_is_not_claimed(card: ModelCard) -> None:
    statement = with_limits(card, 0.7, 0.0).statements[1]
    assert outcome(statement, types_pb2.PREDICTION_SET_BOTH, False) == UNSPECIFIED
    assert outcome(statement, types_pb2.PREDICTION_SET_BOTH, True) == UNCERTAIN


def test_a_shift_moves_the_call_and_never_the_set(decider: Decider, card: ModelCard) -> None:
    plain, urgent = (answer_of(card, 0.2, 0.45, 0.2, 0.2) for _ in range(2))
    decider.decide(plain, card, NOWHERE)
    decider.decide(urgent, card, EMERGENCY)
    assert [f.prediction_set for f in plain.findings] == [f.prediction_set for f in urgent.findings]
    assert (plain.findings[1].present, urgent.findings[1].present) == (False, True)


def codes(answer: Answer) -> list[tuple[str, str]]:
    return [(reason.code, reason.subject) for reason in answer.decision.reasons]


def test_a_certain_clean_answer_needs_no_over_read(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.9, 0.1, 0.1, 0.1)
    decider.decide(answer, card, NOWHERE)
    assert not answer.decision.over_read
    assert codes(answer) == []


def test_an_uncertain_urgent_finding_that_is_called_is_for_a_human(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.1, 0.6, 0.9, 0.6)
    decider.decide(answer, card, NOWHERE)
    assert answer.decision.over_read
    assert codes(answer) == [("UNCERTAIN_FINDING", "MI")]  # not LVH, which is routine, nor AFIB, which is certain
    assert "Mi" in answer.decision.reasons[0].text


def test_what_is_wrong_with_the_recording_is_for_a_human(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.9, 0.1, 0.1, 0.1, grade="C", age=12)
    answer.recording.missing_leads.append("V3")
    answer.quality.reasons.add(code="LIMB_REVERSAL_SUSPECTED")
    decider.decide(answer, card, NOWHERE)
    assert [code for code, _ in codes(answer)] == ["POOR_QUALITY", "MISSING_LEAD", "LEADS_DOUBTFUL", "AGE_NOT_STUDIED"]


def measured(answer: Answer, **values: float) -> None:
    for key, value in values.items():
        unit = "/min" if key == "heart_rate" else "ms"
        group = "rhythm" if key == "heart_rate" else "intervals"
        answer.measurements.add(
            key=f"{group}.{key}", value=value, unit=unit, status=types_pb2.MEASUREMENT_STATUS_MEASURED
        )


@pytest.mark.parametrize(("rate", "code"), [(39.0, "slow_ventricular_rate"), (150.0, "fast_ventricular_rate")])
def test_an_extreme_rate_comes_first(decider: Decider, card: ModelCard, rate: float, code: str) -> None:
    answer = answer_of(card, 0.9, 0.1, 0.1, 0.1)
    measured(answer, heart_rate=rate)
    decider.decide(answer, card, NOWHERE)
    (found,) = answer.decision.critical
    assert (found.code, found.by_criterion) == (code, True)
    assert codes(answer) == [("CRITICAL_FINDING", code)]
    assert answer.decision.criteria_checked


def test_an_ordinary_rate_is_no_finding_and_what_was_not_measured_is_said(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.9, 0.1, 0.1, 0.1)
    measured(answer, heart_rate=70.0)
    decider.decide(answer, card, NOWHERE)
    assert not answer.decision.critical
    assert not answer.decision.over_read
    assert "qtc_critical" in answer.decision.not_evaluable
    assert "fast_ventricular_rate" not in answer.decision.not_evaluable


def test_without_measurements_no_criterion_was_looked_at(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.9, 0.1, 0.1, 0.1)
    decider.decide(answer, card, NOWHERE)
    assert not answer.decision.criteria_checked
    assert not answer.decision.not_evaluable


def test_a_critical_statement_of_the_model_goes_before_an_urgent_criterion(decider: Decider) -> None:
    urgencies = {**URGENCIES, "MI": Urgency.CRITICAL}
    card = with_limits(card_of("tiny", classes=tuple(URGENCIES)), 0.7, 0.3, urgencies)
    answer = answer_of(card, 0.1, 0.6, 0.1, 0.1)
    measured(answer, heart_rate=160.0, qtc_fridericia=520.0)
    decider.decide(answer, card, NOWHERE)
    assert [(c.code, c.consider) for c in answer.decision.critical] == [
        ("qtc_critical", False),
        ("MI", True),
        ("fast_ventricular_rate", False),
    ]


def test_findings_keep_the_cards_order_and_the_decision_gives_the_other(decider: Decider, card: ModelCard) -> None:
    answer = answer_of(card, 0.95, 0.6, 0.9, 0.99)
    decider.decide(answer, card, NOWHERE)
    assert [f.code for f in answer.findings] == ["NORM", "MI", "AFIB", "LVH"]
    assert list(answer.decision.order) == ["AFIB", "MI", "LVH", "NORM"]


def test_a_stream_of_windows_can_order_findings_without_a_decision(card: ModelCard) -> None:
    found = list(findings(card, {"statements": [3.0, 1.0, 2.0, -1.0]}))
    assert [f.code for f in by_urgency(found)] == ["AFIB", "MI", "NORM"]


def test_answers_are_shared_exactly_where_the_decision_is_the_same(decider: Decider) -> None:
    quality = types_pb2.Quality(grade=types_pb2.GRADE_A)

    def context(age: int | None, setting: types_pb2.Setting.ValueType = NOWHERE, measured: bool = False) -> str:
        patient = types_pb2.Patient() if age is None else types_pb2.Patient(age_years=age)
        return decider.context(quality, patient, setting, measured)

    assert context(None) == context(42) == context(50)
    assert len({context(None), context(30), context(12), context(42, AMBULATORY)}) == 4
    assert len({context(42), context(42, measured=True), context(50, measured=True)}) == 3
