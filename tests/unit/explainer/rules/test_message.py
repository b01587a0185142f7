"""From the wire and back: the request's facts, agreement with the model, the report in both languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.client._rules import RuleEvaluation, rules_of
from cardiomesh.ecg.measurements import Status
from cardiomesh.rules import Facts, RuleBook
from explainer.rules import rule_evaluation
from tests.unit.cardiomesh.rules.conftest import Changed
from tests.unit.cardiomesh.rules.test_evaluate import FIBRILLATION, LBBB

STATUSES = {
    Status.MEASURED: types_pb2.MEASUREMENT_STATUS_MEASURED,
    Status.ABSENT: types_pb2.MEASUREMENT_STATUS_ABSENT,
    Status.NOT_EVALUABLE: types_pb2.MEASUREMENT_STATUS_NOT_EVALUABLE,
}


def request_of(facts: Facts, findings: Sequence[types_pb2.Finding] = ()) -> explainer_pb2.ExplainRequest:
    """The request the gateway would send."""
    return explainer_pb2.ExplainRequest(
        finding_codes=[finding.code for finding in findings],
        findings=findings,
        patient=types_pb2.Patient(age_years=facts.patient.age_years, sex=types_pb2.SEX_MALE),
        measurements=[
            types_pb2.Measurement(
                key=key,
                lead=lead,
                value=m.value,
                unit=m.unit,
                status=STATUSES[m.status],
                reason=m.reason.en,
                reason_code=m.reason.code,
                reason_pt=m.reason.pt,
            )
            for (key, lead), m in facts.measurements.items()
        ],
    )


def finding(code: str, present: bool = True) -> types_pb2.Finding:
    return types_pb2.Finding(code=code, present=present)


Asked = Callable[..., RuleEvaluation]


@pytest.fixture
def asked(book: RuleBook, changed: Changed) -> Asked:
    """``asked({"intervals.pr": 224}, finding("1AVB"))``: what the SDK makes of the answer."""

    def ask(changes: dict[str, float | str], *findings: types_pb2.Finding) -> RuleEvaluation:
        request = request_of(changed(changes), findings)
        return rules_of(explainer_pb2.ExplainResponse(rules=rule_evaluation(book, request)))

    return ask


def test_a_rule_arrives_with_its_trace_and_source(asked: Asked, book: RuleBook) -> None:
    found = asked({"intervals.pr": 224})
    assert found.rules_digest == book.digest
    assert [rule.id for rule in found.rules] == [rule.id for rule in book.rules]
    rule = found.rule("av_block_first_degree")
    assert (rule.state, rule.statements, rule.snomed_ct, rule.urgency) == (
        "met",
        ("1AVB", "LPR"),
        "270492004",
        "routine",
    )
    assert "doi:10.1161/CIR.0000000000000628" in rule.source
    trace = rule.criteria
    assert (trace.kind, trace.state, trace.relation) == ("compare", "met", ">")
    assert (trace.value, trace.cutoff, trace.margin, trace.unit) == (224, 200, 24, "ms")
    with pytest.raises(KeyError):
        found.rule("no_such_rule")


@pytest.mark.parametrize(
    ("changes", "held", "expected", "ids"),
    [
        ({"intervals.pr": 224}, finding("1AVB"), "supports", ("av_block_first_degree",)),
        ({"intervals.pr": 180}, finding("1AVB"), "contradicts", ("av_block_first_degree",)),
        ({"intervals.pr": 224}, finding("1AVB", False), "contradicts", ("av_block_first_degree",)),
        ({"intervals.pr": 180}, finding("1AVB", False), "supports", ("av_block_first_degree",)),
        ({"intervals.pr": "unknown"}, finding("1AVB"), "silent", ()),
        ({}, finding("LVH"), "silent", ()),  # insensitive: "not met" says nothing
        (LBBB, finding("CD"), "supports", ("lbbb_complete",)),
        (LBBB, finding("CRBBB"), "contradicts", ("rbbb_complete", "lbbb_complete")),
        (LBBB, finding("NORM"), "contradicts", ("lbbb_complete",)),
        (LBBB, finding("CD", False), "silent", ()),
        ({}, finding("AFIB"), "contradicts", ("sinus_rhythm", "atrial_fibrillation")),
        ({}, finding("NDT"), "silent", ()),
    ],
)
def test_agreement(
    asked: Asked, changes: dict[str, float | str], held: types_pb2.Finding, expected: str, ids: tuple[str, ...]
) -> None:
    (agreement,) = asked(changes, held).agreements
    assert (agreement.finding_code, agreement.present) == (held.code, held.present)
    assert agreement.agreement == expected
    decisive = agreement.contradicting if expected == "contradicts" else agreement.supporting
    assert set(ids) <= set(decisive)
    assert bool(ids) == bool(decisive)


def test_without_a_prediction_there_is_no_agreement_but_all_rules(asked: Asked, book: RuleBook) -> None:
    found = asked({})
    assert found.agreements == ()
    assert len(found.rules) == len(book.rules)


def test_the_report_starts_with_what_is_most_urgent(asked: Asked) -> None:
    found = asked({**FIBRILLATION, "intervals.qtc_fridericia": 520, "axis.qrs": -50}, finding("SR"))
    order = ["critical", "urgent", "routine", "none"]
    told = [line for line in found.report if line.kind not in ("not_evaluable", "note")]
    assert [line.urgency for line in told] == sorted((line.urgency for line in told), key=order.index)
    assert told[0].text.en == "QTc 500 ms or more: QTc (Fridericia) 520 ms (≥ 500 ms)."
    assert told[0].text.pt == "QTc de 500 ms ou mais: QTc (Fridericia) 520 ms (≥ 500 ms)."
    contradiction = next(line for line in told if line.kind == "contradiction")
    assert "Sinus rhythm" in contradiction.text.en
    assert "Atrial fibrillation is met" in contradiction.text.en
    assert "Fibrilação atrial: critérios presentes" in contradiction.text.pt
    untold = [line for line in found.report if line.kind == "not_evaluable"]
    assert any(
        line.text.en == "Not evaluable (PR interval: not there): First-degree AV block; Short PR interval."
        for line in untold
    )


def test_numbers_are_written_as_each_language_writes_them(asked: Asked) -> None:
    found = asked({"voltages.s_v1": 2.05, "voltages.r_v5": 1.6})
    line = next(line for line in found.report if line.rule_id == "lvh_sokolow_lyon")
    assert "3.65 mV (≥ 3.5 mV)" in line.text.en
    assert "3,65 mV (≥ 3,5 mV)" in line.text.pt


def test_points_are_counted(asked: Asked) -> None:
    high = {"lead.r V5": 3.1, "axis.qrs": -35, "intervals.qrs": 95, "voltages.p_terminal_force_v1": "absent"}
    line = next(x for x in asked(high).report if x.rule_id == "lvh_romhilt_estes")
    assert line.text.en == ("Left ventricular hypertrophy by point score (Romhilt-Estes): Romhilt-Estes score 6 (≥ 5).")


def test_what_several_leads_show_is_said_together(asked: Asked) -> None:
    found = asked({"lead.j II": 0.15, "lead.j aVF": 0.12, **LBBB})
    line = next(x for x in found.report if x.rule_id == "lbbb_complete")
    assert "no Q wave of 0.1 mV in all of I, V5 and V6" in line.text.en
    raised = next(x for x in asked({"lead.j II": 0.15, "lead.j aVF": 0.12}).report if x.rule_id == "st_elevation")
    assert raised.text.en.endswith(": J point in II, aVF 0.15 / 0.12 mV (≥ 0.1 mV).")
    assert raised.text.pt.endswith(": ponto J em II, aVF 0,15 / 0,12 mV (≥ 0,1 mV).")


def test_a_value_just_over_the_cutoff_does_not_look_equal_to_it(asked: Asked) -> None:
    line = next(x for x in asked({"intervals.pr": 200.4}).report if x.rule_id == "av_block_first_degree")
    assert "200.4 ms (> 200 ms)" in line.text.en


def test_nothing_measured_meets_nothing_and_says_so(book: RuleBook) -> None:
    found = rules_of(explainer_pb2.ExplainResponse(rules=rule_evaluation(book, explainer_pb2.ExplainRequest())))
    assert found.met == ()
    assert found.report[0].text.en == "No rule is met."
    assert [line.text.en for line in found.report[-2:]] == [
        "A pacemaker was not looked for: the other rules hold only without one.",
        "The age is not known: the criteria of adults were used.",
    ]


def test_a_measured_value_that_did_not_come_is_not_a_zero(book: RuleBook) -> None:
    request = explainer_pb2.ExplainRequest(
        measurements=[
            types_pb2.Measurement(key="intervals.pr", unit="ms", status=types_pb2.MEASUREMENT_STATUS_MEASURED)
        ]
    )
    found = rules_of(explainer_pb2.ExplainResponse(rules=rule_evaluation(book, request)))
    assert found.rule("short_pr").state == "not_evaluable"


def test_leads_graded_unfit_are_kept_from_the_rules(book: RuleBook, changed: Changed) -> None:
    request = request_of(changed({"voltages.s_v1": 2.0, "voltages.r_v5": 2.0, "lead.p II": 0.3}))
    assert (
        rules_of(explainer_pb2.ExplainResponse(rules=rule_evaluation(book, request)))
        .rule("right_atrial_abnormality")
        .state
        == "met"
    )
    lead = request.quality.leads.add(lead="II", grade=types_pb2.GRADE_REJECT)
    lead.reasons.add(code="FLAT", message="flat")
    rule = rules_of(explainer_pb2.ExplainResponse(rules=rule_evaluation(book, request))).rule(
        "right_atrial_abnormality"
    )
    assert rule.state == "not_evaluable"
    assert "flat" in rule.reason.en


@pytest.mark.parametrize(
    ("code", "changes", "rule"),
    [
        ("LIMB_REVERSAL_SUSPECTED", {"axis.qrs": -40}, "axis_left"),
        ("CHEST_MISPLACEMENT_SUSPECTED", {"voltages.s_v1": 2.0, "voltages.r_v5": 2.0}, "lvh_sokolow_lyon"),
    ],
)
def test_leads_that_seem_swapped_are_kept_from_the_rules(
    book: RuleBook, changed: Changed, code: str, changes: dict[str, float], rule: str
) -> None:
    request = request_of(changed(changes))
    request.quality.reasons.add(code=code, message="electrodes seem to be swapped")
    found = rules_of(explainer_pb2.ExplainResponse(rules=rule_evaluation(book, request))).rule(rule)
    assert found.state == "not_evaluable"
    assert "swapped" in found.reason.en


def test_everything_is_plain_json(asked: Asked) -> None:
    import json

    plain = json.loads(json.dumps(asked({"intervals.pr": 224}, finding("1AVB")).to_dict()))
    assert plain["agreements"][0]["agreement"] == "supports"
    assert {"id", "state", "criteria", "source"} <= plain["rules"][0].keys()
