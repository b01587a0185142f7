"""The policy file is checked: what it may not do, it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cardiomesh.cards import Urgency
from cardiomesh.ecg.statements import taxonomy
from gateway.decision import PolicyError, load_policy
from gateway.decision.policy import PUBLISHED


def changed(folder: Path, change: Any) -> Path:
    plain = yaml.safe_load(PUBLISHED.read_bytes())
    change(plain)
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def test_the_published_policy_is_whole() -> None:
    policy = load_policy()
    assert len(policy.digest) == 64
    assert set(policy.critical) >= {"st_elevation", "wide_qrs_tachycardia", "av_block_third_degree"}
    assert all(shift.text.en != shift.text.pt for shift in policy.shifts)


def test_no_published_rule_makes_an_urgent_finding_harder_to_call() -> None:
    for shift in load_policy().shifts:
        urgencies = {*shift.of.urgencies, *(Urgency(taxonomy()[code].urgency) for code in shift.of.codes)}
        assert shift.log_odds <= 0 or not urgencies & {Urgency.URGENT, Urgency.CRITICAL}


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"urgencies": ["urgent"]}, "harder to call"),
        ({"codes": ["MI"]}, "harder to call"),
        ({"codes": ["NOTHING"]}, "no statement"),
    ],
)
def test_a_policy_that_hides_urgent_findings_is_refused(tmp_path: Path, of: dict[str, Any], said: str) -> None:
    def harder(plain: Any) -> None:
        plain["shifts"][1]["of"] = of

    with pytest.raises(PolicyError, match=said):
        load_policy(changed(tmp_path, harder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["shifts"][0].update(when={}), "without a condition"),
        (lambda p: p["shifts"][0].update(source="nowhere"), "no source"),
        (lambda p: p["shifts"].append(p["shifts"][0]), "one id"),
        (lambda p: p["critical"].append("no_such_rule"), "no rule"),
        (lambda p: p.update(bound=100), "bound"),
        (lambda p: p["over_read"].update(MADE_UP={"en": "x", "pt": "y"}), "over_read"),
    ],
)
def test_a_wrong_policy_is_one_clear_line(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(PolicyError, match=said) as caught:
        load_policy(changed(tmp_path, change))
    assert "\n" not in str(caught.value)


def test_an_age_that_is_not_known_is_in_no_group() -> None:
    ids = {shift.id for shift in load_policy().applying("", "A", None)}
    assert ids == set()
