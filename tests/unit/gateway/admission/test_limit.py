"""The limit finds what a machine can do, whatever mixture of work it does, and keeps looking."""

from __future__ import annotations

import pytest

from gateway.admission.limit import AdaptiveLimit
from tests.clock import Clock

#: Seconds of work in one call of each kind.
WORK = {"edge": 0.010, "full": 0.080}


class Machine:
    """``cores`` share whatever is in flight (processor sharing): calls are as slow as they are many."""

    def __init__(self, limit: AdaptiveLimit, clock: Clock, cores: int = 2) -> None:
        self.limit, self.clock, self.cores = limit, clock, cores

    def run(self, calls: int, offered: int, kinds: tuple[str, ...] = ("edge",)) -> float:
        """So many calls, as many at once as are offered and let in; the limit at the end."""
        for n in range(calls):
            kind = kinds[n % len(kinds)]
            in_flight = max(1, min(offered, self.limit.value))
            seconds = WORK[kind] * max(1.0, in_flight / self.cores)
            self.clock.now += seconds / in_flight
            self.limit.learn(kind, seconds, in_flight)
        return self.limit.value


@pytest.fixture
def clock() -> Clock:
    return Clock()


def machine(clock: Clock, cores: int = 2, **bounds: int) -> Machine:
    return Machine(AdaptiveLimit(**{"least": 4, "most": 256} | bounds, clock=clock), clock, cores)


def test_under_overload_it_settles_where_all_cores_work_and_little_waits(clock: Clock) -> None:
    two, eight = machine(clock), machine(clock, cores=8)
    for some in (two, eight):
        some.run(50, offered=1)
    assert 4 <= two.run(3000, offered=100) <= 8
    assert 12 <= eight.run(3000, offered=100) <= 28


def test_a_mixture_of_work_settles_where_each_kind_would(clock: Clock) -> None:
    """What an absolute latency could not do: eight times slower is no queue when it is another model."""
    mixed = machine(clock)
    mixed.run(100, offered=1, kinds=("edge", "full"))
    assert 4 <= mixed.run(3000, offered=100, kinds=("edge", "edge", "full")) <= 8


def test_it_does_not_drift_under_lasting_overload(clock: Clock) -> None:
    some = machine(clock)
    some.run(50, offered=1)
    minutes = [some.run(6000, offered=100) for _ in range(20)]
    assert max(minutes) <= 10


def test_started_under_overload_it_looks_how_fast_it_could_be(clock: Clock) -> None:
    some = machine(clock)
    assert some.run(1, offered=100) == 2  # so few at once that the calls are as good as alone
    assert 4 <= some.run(3000, offered=100) <= 8


def test_a_limit_that_nobody_reaches_does_not_grow(clock: Clock) -> None:
    some = machine(clock)
    before = some.limit.value
    assert some.run(3000, offered=1) == before


def test_a_slower_machine_gets_fewer_calls_and_gets_them_back(clock: Clock) -> None:
    some = machine(clock, cores=16)
    some.run(50, offered=1)
    fast = some.run(3000, offered=100)
    some.cores = 4
    slow = some.run(3000, offered=100)
    some.cores = 16
    assert slow < fast / 1.5
    assert some.run(3000, offered=100) > slow * 1.5


def test_one_number_for_both_bounds_holds_it_still(clock: Clock) -> None:
    some = machine(clock, least=6, most=6)
    assert {some.run(500, offered=n) for n in (1, 100, 1)} == {6}


def test_what_is_expected_follows_what_is_seen(clock: Clock) -> None:
    some = machine(clock, least=4, most=4)
    assert some.limit.expected("edge") == 0.0
    some.run(50, offered=4)
    assert some.limit.expected("edge") == pytest.approx(0.020)
    assert some.limit.wait(8) == pytest.approx(8 * 0.020 / 4)
