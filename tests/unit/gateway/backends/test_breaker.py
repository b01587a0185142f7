"""The breaker leaves a failed backend alone, then tries it with one call."""

from __future__ import annotations

from gateway.backends.breaker import Breaker
from tests.clock import Clock


def test_it_opens_on_failure_tries_once_and_closes_on_success() -> None:
    clock = Clock()
    breaker = Breaker(2.0, clock=clock)
    assert breaker.allows()
    breaker.failed()
    assert not breaker.closed
    assert not breaker.allows()
    clock.now = 1.999
    assert not breaker.allows()
    clock.now = 2.0
    assert breaker.allows()
    assert not breaker.allows()  # one trial at a time
    breaker.succeeded()
    assert breaker.closed
    assert breaker.allows()


def test_a_failed_trial_opens_it_again() -> None:
    clock = Clock()
    breaker = Breaker(2.0, clock=clock)
    breaker.failed()
    clock.now = 2.0
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now = 4.0
    assert breaker.allows()


def test_a_trial_that_nobody_reports_on_holds_up_nothing() -> None:
    clock = Clock()
    breaker = Breaker(2.0, clock=clock)
    breaker.failed()
    clock.now = 2.0
    assert breaker.allows()  # its caller went away
    clock.now = 4.0
    assert breaker.allows()


def test_it_takes_as_many_failures_in_a_row_as_it_was_told() -> None:
    breaker = Breaker(2.0, failures=3, clock=Clock())
    for _ in range(2):
        breaker.failed()
        breaker.failed()
        assert breaker.closed
        breaker.succeeded()
    for _ in range(3):
        breaker.failed()
    assert not breaker.closed
