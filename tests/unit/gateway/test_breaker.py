"""The breaker leaves a failed backend alone, then tries it with one call."""

from __future__ import annotations

from gateway.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_on_failure_tries_once_and_closes_on_success() -> None:
    clock = Clock()
    breaker = Breaker(2.0, clock)
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
    breaker = Breaker(2.0, clock)
    breaker.failed()
    clock.now = 2.0
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now = 4.0
    assert breaker.allows()
