"""A good version is left alone for as long as promised, and a bad one is found."""

from __future__ import annotations

import random

import pytest

from gateway.routing.evidence import Evidence


def run(mean: float, bound: float, limit: float, most: int, seed: int) -> int:
    """Values until it is decided."""
    draw = random.Random(seed)
    evidence = Evidence("x", bound, limit)
    for number in range(most):
        evidence.add(float(draw.random() < mean))
        if evidence.decided:
            return number + 1
    return most


@pytest.mark.parametrize("bound", [0.05, 0.5, 0.9])
def test_at_the_bound_a_false_alarm_is_as_rare_as_promised(bound: float) -> None:
    runs = [run(bound, bound, 100.0, 2000, seed) for seed in range(60)]
    assert sum(runs) / len(runs) > 100  # capped runs make the mean smaller, not larger


def test_values_between_nothing_and_one_are_held_to_the_same_promise() -> None:
    draw = random.Random(0)
    evidence = Evidence("x", 0.05, 1e6)
    for _ in range(20_000):
        evidence.add(draw.choice([0.0, 0.0, 1 / 12, 1 / 36, 1 / 18]))  # mean 0.033
    assert not evidence.decided
    assert evidence.mean == pytest.approx(0.033, abs=0.002)


@pytest.mark.parametrize(("mean", "bound", "within"), [(1.0, 0.5, 30), (0.8, 0.5, 200), (0.3, 0.05, 150)])
def test_what_is_beyond_the_bound_is_found(mean: float, bound: float, within: int) -> None:
    assert all(run(mean, bound, 1e6, 10_000, seed) <= within for seed in range(20))


def test_what_becomes_bad_late_is_found_as_soon() -> None:
    evidence = Evidence("x", 0.5, 1e6)
    for _ in range(10_000):
        evidence.add(0.0)
    for _ in range(30):
        evidence.add(1.0)
    assert evidence.decided


def test_it_does_not_overflow() -> None:
    evidence = Evidence("x", 1e-6, 1e6)
    for _ in range(2000):
        evidence.add(1.0)
    assert evidence.value <= 1e9
