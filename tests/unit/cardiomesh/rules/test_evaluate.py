"""Whole rules on the measurements of a real ECG: what must be met, what must not, and what nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiomesh.ecg.reasons import Reason
from cardiomesh.ecg.recording import Patient, Recording
from cardiomesh.rules import Facts, RuleBook, State, evaluate
from cardiomesh.rules.trace import Outcome
from tests.unit.cardiomesh.rules.conftest import ABSENT, MAN, UNKNOWN, Changed, values_of

FLAT = Reason("FLAT", "flat", "linha plana")
MET, NOT_MET, OPEN = State.MET, State.NOT_MET, State.NOT_EVALUABLE
#: Atrial fibrillation as the delineation reports it: no P wave, so no PR interval.
FIBRILLATION = {
    "rhythm.p_waves": ABSENT,
    "intervals.p": ABSENT,
    "intervals.pr": ABSENT,
    "axis.p": ABSENT,
    "voltages.p_terminal_force_v1": ABSENT,
    "rhythm.rr_irregularity": 0.2,
}
LBBB = {
    "intervals.qrs": 150.0,
    "lead.q I": ABSENT,
    "lead.q V5": ABSENT,
    "lead.q V6": ABSENT,
    "lead.r_peak_time V6": 80.0,
    "lead.q V1": ABSENT,
    "lead.r V1": 0.1,
    "lead.s V1": -2.0,
}


def states(book: RuleBook, facts: Facts) -> dict[str, Outcome]:
    return {outcome.rule.id: outcome for outcome in evaluate(book, facts)}


def test_a_normal_ecg_meets_sinus_rhythm_and_nothing_urgent(book: RuleBook, changed: Changed) -> None:
    found = states(book, changed())
    assert found["sinus_rhythm"].state is MET
    urgent = [
        o.rule.id
        for o in found.values()
        if o.state is MET and o.rule.reported and o.rule.urgency in ("urgent", "critical")
    ]
    assert urgent == []


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("av_block_first_degree", {"intervals.pr": 224}),
        ("short_pr", {"intervals.pr": 110}),
        ("sinus_bradycardia", {"rhythm.heart_rate": 44}),
        ("sinus_tachycardia", {"rhythm.heart_rate": 112}),
        ("atrial_fibrillation", FIBRILLATION),
        ("lbbb_complete", LBBB),
        ("pacing", {"rhythm.paced_beats": 1.0}),
        ("premature_ventricular", {"rhythm.premature_ventricular_beats": 1}),
        ("premature_ventricular_frequent", {"rhythm.premature_ventricular_beats": 2}),
        ("premature_supraventricular", {"rhythm.premature_supraventricular_beats": 1}),
        ("preexcitation", {"intervals.pr": 100, "intervals.qrs": 130, "intervals.qrs_upstroke": 60}),
        ("av_block_second_degree", {"rhythm.dropped_beats": 1}),
        (
            "av_block_third_degree",
            {"rhythm.heart_rate": 38, "rhythm.atrial_rate": 80, "rhythm.pr_scatter": 90, "intervals.pr": UNKNOWN},
        ),
        ("slow_ventricular_rate", {"rhythm.heart_rate": 36}),
        ("atrial_flutter", {"rhythm.heart_rate": 150, "rhythm.p_waves": ABSENT, "axis.p": ABSENT}),
        ("atrial_flutter", {"rhythm.flutter_rate": 290, "rhythm.p_waves": ABSENT, "axis.p": ABSENT}),
        ("narrow_qrs_tachycardia", {"rhythm.heart_rate": 150, "rhythm.p_waves": ABSENT, "axis.p": ABSENT}),
        ("wide_qrs_tachycardia", {"rhythm.heart_rate": 150, "rhythm.p_waves": ABSENT, "intervals.qrs": 150}),
        ("axis_left", {"axis.qrs": -40}),
        ("axis_right", {"axis.qrs": 100}),
        ("qtc_critical", {"intervals.qtc_fridericia": 510}),
        ("st_elevation", {"lead.j II": 0.15, "lead.j aVF": 0.12}),
        ("st_depression", {"lead.j V4": -0.1, "lead.j60 V4": -0.1, "lead.j V5": -0.08, "lead.j60 V5": -0.09}),
        ("lvh_sokolow_lyon", {"voltages.s_v1": 2.0, "voltages.r_v5": 1.6}),
        ("coved_st_v1_v2", {"lead.j V2": 0.25, "lead.st_slope V2": -1.0, "lead.t V2": -0.2}),
    ],
)
def test_what_a_rule_is_for_meets_it(
    book: RuleBook, changed: Changed, rule: str, changes: dict[str, float | str]
) -> None:
    assert states(book, changed())[rule].state is NOT_MET
    assert states(book, changed(changes))[rule].state is MET


def test_fibrillation_has_no_pr_interval_to_judge(book: RuleBook, changed: Changed) -> None:
    found = states(book, changed(FIBRILLATION))
    assert found["atrial_fibrillation"].state is MET
    assert found["av_block_first_degree"].state is OPEN
    assert found["short_pr"].state is OPEN
    assert found["sinus_rhythm"].state is NOT_MET
    reason = found["av_block_first_degree"].reason
    assert reason is not None
    assert "PR" in reason.en
    assert reason.pt == "intervalo PR: não há"
    flutter = states(book, changed({**FIBRILLATION, "rhythm.flutter_rate": 290}))
    assert flutter["atrial_fibrillation"].state is NOT_MET
    assert flutter["atrial_flutter"].state is MET


def test_hidden_p_waves_leave_the_rhythm_open(book: RuleBook, changed: Changed) -> None:
    hidden = {"rhythm.p_waves": UNKNOWN, "intervals.pr": UNKNOWN, "axis.p": UNKNOWN, "rhythm.heart_rate": 150}
    found = states(book, changed(hidden))
    for rule in ("sinus_tachycardia", "narrow_qrs_tachycardia", "av_block_first_degree"):
        assert found[rule].state is OPEN
    assert found["atrial_fibrillation"].state is NOT_MET  # regular, whatever the P waves do


@pytest.mark.parametrize(("volts", "expected"), [(1.9, NOT_MET), (2.4, OPEN), (2.9, MET)])
def test_sixty_years_and_unknown_sex(book: RuleBook, changed: Changed, volts: float, expected: State) -> None:
    facts = changed({"voltages.r_avl": volts - 1, "voltages.s_v3": 1.0}, Patient(60, None))
    outcome = states(book, facts)["lvh_cornell_voltage"]
    assert outcome.state is expected
    assert outcome.criteria.value == pytest.approx(volts)
    if expected is OPEN:
        assert outcome.reason is not None
        assert "sex" in outcome.reason.en
    # The product adds 0.8 mV in women only: its very value depends on the sex.
    product = states(book, changed({"voltages.r_avl": 1.0, "voltages.s_v3": 1.0, "intervals.qrs": 100}, facts.patient))
    assert product["lvh_cornell_product"].state is OPEN
    assert product["lvh_cornell_product"].criteria.value is None


def test_an_unknown_age_leaves_open_what_depends_on_it(book: RuleBook, changed: Changed) -> None:
    voltage = {"voltages.s_v1": 2.0, "voltages.r_v5": 1.6}
    assert states(book, changed(voltage, Patient(None, "male")))["lvh_sokolow_lyon"].state is OPEN
    assert states(book, changed(voltage, Patient(25, "male")))["lvh_sokolow_lyon"].state is OPEN
    assert states(book, changed({}, Patient(None, "male")))["lvh_sokolow_lyon"].state is NOT_MET
    elevated = {"lead.j V2": 0.22, "lead.j V3": 0.22}
    for age, expected in ((30, NOT_MET), (None, OPEN), (50, MET)):
        assert states(book, changed(elevated, Patient(age, "male")))["st_elevation"].state is expected


def test_children_are_not_judged_by_adults_criteria(book: RuleBook, changed: Changed) -> None:
    found = states(book, changed({"rhythm.heart_rate": 120}, Patient(5, "female")))
    assert {outcome.state for outcome in found.values()} == {OPEN}


def test_left_bundle_branch_block_forbids_the_usual_st_criteria(book: RuleBook, changed: Changed) -> None:
    found = states(book, changed({**LBBB, "lead.j V2": 0.3, "lead.j V3": 0.3}))
    assert found["st_elevation"].state is OPEN
    assert found["st_elevation"].reason is not None
    assert "left bundle branch block" in found["st_elevation"].reason.en
    assert found["sgarbossa"].state is NOT_MET
    concordant = {**LBBB, "lead.j V6": 0.15, "lead.q V6": ABSENT, "lead.s V6": ABSENT, "lead.r V6": 1.0}
    assert states(book, changed(concordant))["sgarbossa"].state is MET


def test_a_paced_rhythm_forbids_what_is_read_from_a_natural_qrs(book: RuleBook, changed: Changed) -> None:
    paced = {**LBBB, "rhythm.paced_beats": 1.0, "lead.j V2": 0.3, "lead.j V3": 0.3, "intervals.qtc_fridericia": 480}
    found = states(book, changed(paced))
    assert found["pacing"].state is MET
    for rule in (
        "atrial_fibrillation",
        "lbbb_complete",
        "ivcd",
        "lvh_cornell_voltage",
        "pathological_q",
        "t_inversion",
        "st_elevation",
    ):
        assert found[rule].state is OPEN, rule
        reason = found[rule].reason
        assert reason is not None
        assert "paced rhythm" in reason.en


def test_a_pacemaker_that_cannot_be_seen_is_said_not_to_be_looked_for(book: RuleBook, changed: Changed) -> None:
    found = states(book, changed({**LBBB, "rhythm.paced_beats": UNKNOWN}))
    assert found["pacing"].state is OPEN
    assert found["paced"].state is NOT_MET
    assert found["lbbb_complete"].state is MET


def test_an_exclusion_that_cannot_be_told_leaves_the_rule_open(book: RuleBook, changed: Changed) -> None:
    unclear = {"intervals.qrs": UNKNOWN, **{k: v for k, v in LBBB.items() if k.startswith("lead.")}}
    elevated = {"lead.j II": 0.15, "lead.j aVF": 0.12}
    assert states(book, changed({**unclear, **elevated}))["st_elevation"].state is OPEN
    assert states(book, changed(unclear))["st_elevation"].state is NOT_MET


def test_a_flat_lead_is_no_evidence(book: RuleBook, recording: Recording) -> None:
    flat = recording.millivolts.copy()
    flat[recording.leads.index("V1")] = 0.0
    found = states(book, Facts(values_of(replace(recording, millivolts=flat)), MAN))
    assert found["lvh_sokolow_lyon"].state is OPEN
    assert found["v1_negative"].state is OPEN
    reason = found["lvh_sokolow_lyon"].reason
    assert reason is not None
    assert "V1" in reason.en
    # One lead less does not take away what the others decide.
    assert found["low_voltage"].state is NOT_MET
    assert found["sinus_rhythm"].state is MET


def test_no_signal_at_all_meets_nothing(book: RuleBook, recording: Recording) -> None:
    nothing = replace(recording, millivolts=np.zeros_like(recording.millivolts))
    found = states(book, Facts(values_of(nothing), MAN))
    assert MET not in {outcome.state for outcome in found.values()}
    untold = states(book, Facts({}, MAN))
    assert {rule for rule, outcome in untold.items() if outcome.state is not OPEN} == {"paced"}  # see its remark


def test_an_unfit_lead_is_kept_from_the_rules(book: RuleBook, changed: Changed) -> None:
    facts = changed({"lead.j II": 0.15, "lead.j aVF": 0.12})
    assert states(book, facts)["st_elevation"].state is MET
    unfit = replace(facts, unfit={"aVF": FLAT})
    assert states(book, unfit)["st_elevation"].state is OPEN
    # Also where the key does not name the lead.
    high = changed({"voltages.s_v1": 2.0, "voltages.r_v5": 1.6})
    assert states(book, high)["lvh_sokolow_lyon"].state is MET
    assert states(book, replace(high, unfit={"V1": FLAT}))["lvh_sokolow_lyon"].state is OPEN
    assert states(book, replace(high, unfit={"II": FLAT}))["axis_left"].state is OPEN


def test_another_unit_is_not_guessed(book: RuleBook, changed: Changed) -> None:
    facts = changed()
    key = ("intervals.pr", "")
    values = {**facts.measurements, key: replace(facts.measurements[key], value=0.3, unit="s")}
    assert states(book, replace(facts, measurements=values))["av_block_first_degree"].state is OPEN


def test_the_trace_says_value_cutoff_and_margin(book: RuleBook, changed: Changed) -> None:
    trace = states(book, changed({"intervals.pr": 224}))["av_block_first_degree"].criteria
    assert (trace.value, trace.cutoff, trace.unit, trace.margin) == (224, 200, "ms", 24)
    assert trace.text.en == "PR interval > 200 ms"
    assert trace.text.pt == "intervalo PR > 200 ms"
    below = states(book, changed({"intervals.pr": 180}))["av_block_first_degree"].criteria
    assert below.margin == -20


def test_contiguous_means_neighbours(book: RuleBook, changed: Changed) -> None:
    assert states(book, changed({"lead.j V4": 0.2, "lead.j V6": 0.2}))["st_elevation"].state is NOT_MET
    assert states(book, changed({"lead.j V4": 0.2, "lead.j V5": 0.2}))["st_elevation"].state is MET
