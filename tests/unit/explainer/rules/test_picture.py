"""From the rules' answer to the panel on the sheet, as ``analyze --plot`` makes it."""

from __future__ import annotations

from cardiomesh.cli.picture_rules import rules_panel
from cardiomesh.report import RuleState
from tests.unit.cardiomesh.rules.test_evaluate import LBBB
from tests.unit.explainer.rules.test_message import Asked, asked, finding

__all__ = ["asked"]  # the fixture


def test_the_panel_shows_the_trace_of_the_explained_finding(asked: Asked) -> None:
    panel = rules_panel(asked(LBBB, finding("CLBBB")), "CLBBB", "Complete left bundle branch block", "en")
    assert (panel.finding, panel.agreement) == ("CLBBB", "supports")
    assert panel.report[0].text.startswith("Complete left bundle branch block: QRS duration 150 ms (≥ 120 ms)")
    (rule,) = panel.traced
    assert (rule.name, rule.state) == ("Complete left bundle branch block", RuleState.MET)
    assert rule.source.startswith("Complete LBBB. Surawicz")
    rows = {row.text: row for row in rule.criteria}
    assert (rows["QRS duration ≥ 120 ms"].value, rows["QRS duration ≥ 120 ms"].depth) == ("150 ms", 0)
    assert rows["shape of left bundle branch block"].depth == 0
    leads = next(row for text, row in rows.items() if text.startswith("R-peak time > 60 ms"))
    assert leads.value.endswith("V6 80✓")
    assert leads.depth > 0


def test_numbers_and_words_are_portuguese_where_asked(asked: Asked) -> None:
    found = asked({"voltages.s_v1": 2.05, "voltages.r_v5": 1.6}, finding("LVH"))
    panel = rules_panel(found, "LVH", "Hipertrofia ventricular esquerda", "pt")
    rule = next(rule for rule in panel.traced if "Sokolow" in rule.name)
    assert rule.name == "Hipertrofia ventricular esquerda por voltagem (Sokolow-Lyon)"
    assert rule.criteria[0].value == "3,65 mV"


def test_rules_on_the_superclass_stand_beside_a_finding_that_has_none_of_its_own(asked: Asked) -> None:
    panel = rules_panel(asked({}, finding("IMI")), "IMI", "Inferior myocardial infarction", "en")
    assert panel.agreement == "silent"
    assert "Pathological Q waves" in {rule.name for rule in panel.traced}


def test_a_rule_that_is_not_evaluable_says_why(asked: Asked) -> None:
    panel = rules_panel(asked({"intervals.pr": "unknown"}, finding("1AVB")), "1AVB", "First degree AV block", "en")
    rule = next(rule for rule in panel.traced if rule.name == "First-degree AV block")
    assert rule.state is RuleState.NOT_EVALUABLE
    assert rule.reason == "PR interval: nobody can tell"


def test_contradictions_are_marked(asked: Asked) -> None:
    panel = rules_panel(asked({"intervals.pr": 180}, finding("1AVB")), "1AVB", "First degree AV block", "en")
    assert panel.agreement == "contradicts"
    assert [row.contradiction for row in panel.report].count(True) == 1
