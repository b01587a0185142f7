"""Rules through the whole mesh: measured by the preprocessor, held by the gateway's prediction, answered first."""

from __future__ import annotations

from pathlib import Path

import pytest

from cardiomesh.client import Client


def test_rules_alone_are_an_explanation(client: Client, ecg_file: Path) -> None:
    why = client.explain(["NORM", "AFIB"], methods=["rules"], file=ecg_file)
    assert why.rules is not None
    assert why.attributions == ()
    assert [rule.id for rule in why.rules.met if rule.urgency in ("urgent", "critical")] == []
    sinus = why.rules.rule("sinus_rhythm")
    assert sinus.state == "met"
    rate = next(leaf for leaf in sinus.criteria.leaves() if leaf.measurement == "rhythm.heart_rate")
    analysed = client.analyze(file=ecg_file, measure=True)
    assert rate.value == pytest.approx(analysed.measurement("rhythm.heart_rate").value, rel=1e-6)
    # Without a result to name, the gateway predicts once, and the rules are held against that prediction.
    held = {agreement.finding_code: agreement for agreement in why.rules.agreements}
    assert {code: held[code].present for code in held} == {
        f.code: f.present for f in analysed.findings if f.code in ("NORM", "AFIB")
    }
    assert held["AFIB"].agreement == "supports"  # absent for the model, and for the criteria
    assert "atrial_fibrillation" in held["AFIB"].supporting


def test_rules_are_held_against_the_very_result_that_is_named(client: Client, ecg_file: Path) -> None:
    kept = client.analyze(file=ecg_file)
    why = client.explain("SR", methods=["rules"], file=ecg_file, result_id=kept.result_id)
    assert why.rules is not None
    (held,) = why.rules.agreements
    assert (held.finding_code, held.present, held.agreement) == ("SR", True, "supports")
    assert "sinus_rhythm" in held.supporting


def test_the_patient_reaches_the_rules(client: Client, ecg_file: Path) -> None:
    why = client.explain("NORM", methods=["rules"], file=ecg_file, age_years=5)
    assert why.rules is not None
    assert {rule.state for rule in why.rules.rules} == {"not_evaluable"}
    assert "adult" in why.rules.rules[0].reason.en
