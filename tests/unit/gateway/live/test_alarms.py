"""Alarms: raised once, cleared by enough windows that could have shown it, never invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.rules import load_rules
from gateway.live import alarms
from gateway.live.alarms import AlarmRules, Alarms, Condition, Judgement

RULES = AlarmRules.of(low=None, high=None, clear_after=3)
VF = Condition("VF", "Ventricular fibrillation", "Fibrilação ventricular")
SHOWN, WITHOUT, BLIND = Judgement({"VF": VF}), Judgement(), Judgement(blind=True)


def measured(**values: float) -> gateway_pb2.AnalyzeResponse:
    """A clean answer with these rhythm measurements."""
    answer = gateway_pb2.AnalyzeResponse(quality=types_pb2.Quality(grade=types_pb2.GRADE_A))
    for name, value in values.items():
        answer.measurements.add(key=f"rhythm.{name}", value=value, status=types_pb2.MEASUREMENT_STATUS_MEASURED)
    return answer


def codes(answer: gateway_pb2.AnalyzeResponse) -> set[str]:
    return set(RULES.judge(answer, 10.0).shown)


def steady(rate: float) -> dict[str, float]:
    """What a steady rhythm over ten seconds measures."""
    rr = 60_000 / rate
    return {"heart_rate": rate, "rr_mean": rr, "rr_max": rr, "beat_count": 10_000 // rr}


@pytest.mark.parametrize("judgement", [WITHOUT, BLIND])
def test_nothing_comes_of_nothing(judgement: Judgement) -> None:
    watched = Alarms(RULES)
    assert [watched.see(k, judgement) for k in range(5)] == [([], [])] * 5


def test_raised_once_and_cleared_after_enough_windows_without_it() -> None:
    watched = Alarms(RULES)
    told = [watched.see(k, j) for k, j in enumerate([WITHOUT, SHOWN, SHOWN, WITHOUT, WITHOUT, SHOWN] + [WITHOUT] * 4)]
    assert [k for k, (begun, _) in enumerate(told) if begun] == [1]
    assert [k for k, (_, ended) in enumerate(told) if ended] == [8]
    assert told[8][1][0].onset == 1
    assert watched.active == ()


def test_windows_that_cannot_tell_clear_nothing() -> None:
    watched = Alarms(RULES)
    watched.see(0, SHOWN)
    for index in range(1, 20):
        assert watched.see(index, BLIND) == ([], [])
        assert watched.see(index, Judgement(unknown=frozenset({"VF"}))) == ([], [])
    assert [alarm.code for alarm in watched.active] == ["VF"]


@given(st.permutations(range(1, 8)))
def test_windows_before_the_last_one_that_shows_it_do_not_clear_it(order: list[int]) -> None:
    watched = Alarms(RULES)
    watched.see(10, SHOWN)
    assert all(watched.see(index, WITHOUT) == ([], []) for index in order)


def test_a_resumed_stream_goes_on_where_the_alarm_stood() -> None:
    watched = Alarms(RULES)
    watched.see(0, SHOWN)
    watched.see(1, WITHOUT)
    again = Alarms(RULES, watched.active)
    assert again.see(2, SHOWN) == ([], [])
    assert [bool(again.see(k, WITHOUT)[1]) for k in (3, 4, 5)] == [False, False, True]


def test_critical_statements_and_decisions_raise_and_considered_ones_do_not() -> None:
    answer = measured(**steady(70))
    answer.findings.add(code="MI", present=True, urgency=types_pb2.URGENCY_URGENT)
    answer.findings.add(code="VT", present=False, urgency=types_pb2.URGENCY_CRITICAL)
    answer.decision.critical.add(code="st_elevation", consider=True)
    assert codes(answer) == set()
    answer.findings.add(code="VF", present=True, urgency=types_pb2.URGENCY_CRITICAL)
    answer.decision.critical.add(code="complete_av_block")
    assert codes(answer) == {"VF", "complete_av_block"}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(39.9, {"slow_ventricular_rate"}), (40, set()), (149.9, set()), (150, {"fast_ventricular_rate"})],
)
def test_extreme_rates(rate: float, expected: set[str]) -> None:
    assert codes(measured(**steady(rate))) == expected


def test_the_limits_are_those_of_the_rule_book_unless_the_caller_has_others() -> None:
    book = {rule.id: rule.criteria for rule in load_rules().rules}
    assert f"{alarms.LOW_RATE:g}" in repr(book["slow_ventricular_rate"])
    assert f"{alarms.HIGH_RATE:g}" in repr(book["fast_ventricular_rate"])
    own = AlarmRules.of(low=55, high=120, clear_after=1)
    assert set(own.judge(measured(**steady(50)), 10.0).shown) == {"slow_ventricular_rate"}
    assert set(own.judge(measured(**steady(120)), 10.0).shown) == {"fast_ventricular_rate"}
    wider = AlarmRules.of(low=30, high=200, clear_after=1)
    published = measured(**steady(160))
    published.decision.critical.add(code="fast_ventricular_rate")
    assert not wider.judge(published, 10.0).shown


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Ten beats, then one pause within.
        ({"heart_rate": 75, "beat_count": 8, "rr_mean": 1200, "rr_max": 4100}, True),
        # Three beats in two seconds, and then nothing: 80 a minute by its intervals.
        ({"heart_rate": 80, "beat_count": 3, "rr_mean": 750, "rr_max": 750}, True),
        ({"beat_count": 0}, True),
        ({"beat_count": 1}, True),
        # Slow, but never four seconds without a beat for certain.
        ({"heart_rate": 20, "beat_count": 3, "rr_mean": 3000, "rr_max": 3000}, False),
        (steady(45), False),
        ({}, False),
    ],
)
def test_no_beat_for_four_seconds(values: dict[str, float], expected: bool) -> None:
    assert ("no_beat" in codes(measured(**values))) is expected
    poor = measured(**values)
    poor.quality.grade = types_pb2.GRADE_C
    judged = RULES.judge(poor, 10.0)
    assert "no_beat" not in judged.shown  # a beat may be missed in noise
    assert not judged.misses("no_beat")


def test_rates_that_were_not_measured_are_unknown() -> None:
    judged = RULES.judge(measured(beat_count=1), 10.0)
    assert not judged.misses("slow_ventricular_rate")
    assert not judged.misses("fast_ventricular_rate")


def refusal(reason: str) -> types_pb2.ItemError:
    return types_pb2.ItemError(
        status="INVALID_ARGUMENT", violations=[types_pb2.FieldViolation(field="recording", reason=reason)]
    )


def test_a_flat_line_is_told_from_other_refusals() -> None:
    assert set(RULES.judge_error(refusal("NO_SIGNAL")).shown) == {"flat_line"}
    noisy = RULES.judge_error(refusal("CONTACT_LOSS"))
    assert not noisy.shown
    assert not noisy.misses("flat_line")
    assert RULES.judge(measured(**steady(70)), 10.0).misses("flat_line")
