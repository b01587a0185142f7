from __future__ import annotations

import math
import random

import pytest

from cardiomesh._proto.types.v1 import types_pb2
from gateway.routing.comparison import Comparison


def found(**probabilities: float) -> list[types_pb2.Finding]:
    return [types_pb2.Finding(code=code, probability=p, present=p >= 0.5) for code, p in probabilities.items()]


def test_calls_changes_and_prevalence_are_counted_for_what_both_know() -> None:
    comparison = Comparison()
    assert comparison.add(found(MI=0.6, AFIB=0.1), found(MI=0.4, AFIB=0.2, NEW=0.9)) == 0.5
    assert comparison.add(found(MI=0.1, AFIB=0.1), found(MI=0.3, AFIB=0.7, NEW=0.9)) == 0.5
    assert set(comparison.statements) == {"MI", "AFIB"}
    mi, afib = comparison.statements["MI"], comparison.statements["AFIB"]
    assert (mi.became_absent, mi.became_present, mi.agreement) == (1, 0, 0.5)
    assert (afib.became_absent, afib.became_present, afib.agreement) == (0, 1, 0.5)
    assert mi.change / mi.compared == pytest.approx(0.2)
    assert (mi.reference / 2, mi.candidate / 2) == pytest.approx((0.35, 0.35))
    assert comparison.agreement == 0.5
    assert comparison.change == pytest.approx((0.2 + 0.35) / 2)


def test_nothing_in_common_is_no_agreement() -> None:
    assert Comparison().add(found(MI=0.6), found(AFIB=0.6)) == 1.0


def test_an_index_is_told_only_where_chance_does_not_make_it() -> None:
    comparison = Comparison()
    draw = random.Random(0)
    for _ in range(99):
        comparison.add(found(MI=draw.random()), found(MI=draw.random()))
    assert math.isnan(comparison.drift)
    for _ in range(901):
        comparison.add(found(MI=draw.random()), found(MI=draw.random()))
    assert comparison.drift < 0.05


def test_a_shifted_distribution_has_a_large_index() -> None:
    comparison = Comparison()
    draw = random.Random(0)
    for _ in range(500):
        p = draw.random() * 0.5
        comparison.add(found(MI=p, AFIB=p), found(MI=min(1.0, 2 * p), AFIB=p))
    assert comparison.drift == comparison.statements["MI"].stability_index
    assert comparison.drift > 0.25
    same = comparison.statements["AFIB"].stability_index
    assert same == pytest.approx(0.0)
