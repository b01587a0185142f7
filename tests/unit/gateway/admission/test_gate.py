"""Who gets in, who waits, who is told to come back, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import Overloaded, RateLimited, Unavailable
from gateway.admission import AdaptiveLimit, Admission, Priority, TenantLimits
from tests.clock import Clock

ANALYZE = "/cardiomesh.gateway.v1.CardioMesh/Analyze"
E, R, B, X = Priority.EMERGENCY, Priority.ROUTINE, Priority.BATCH, Priority.EXPLANATION


class Gate:
    """Four places, calls of 100 ms, at most one second's wait."""

    def __init__(self, telemetry: Telemetry, rate: float = 0.0, wait_s: float = 1.0) -> None:
        self.clock = Clock()
        self.limit = AdaptiveLimit(least=4, most=4, clock=self.clock)
        self.limit.learn("k", 0.1, 1)
        tenants = TenantLimits(None, rate=rate, burst=1, clock=self.clock)
        self.admission = Admission(self.limit, tenants, telemetry, longest_wait_s=wait_s, clock=self.clock)
        self.inside: list[str] = []
        self.done = asyncio.Event()

    async def work(self, priority: Priority, name: str) -> None:
        async with self.admission.turn(priority, "t", "k") as turn:
            await turn.begin()
            self.inside.append(name)
            await self.done.wait()

    async def begin(self, priority: Priority, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.work(priority, name)) for name in names]
        await settle()
        return tasks


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry("test")
    yield made
    made.close()


@asynccontextmanager
async def finished(gate: Gate, *tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    yield
    gate.done.set()
    await asyncio.gather(*tasks)


@pytest.fixture
async def gate(telemetry: Telemetry) -> Gate:
    enter_budget(Budget.of(60))
    return Gate(telemetry)


async def test_the_urgent_go_first_and_equals_in_the_order_they_came(gate: Gate) -> None:
    working = await gate.begin(R, *"1234")
    emergencies = await gate.begin(E, "share")  # beyond the limit
    waiting = [
        *await gate.begin(X, "x"),
        *await gate.begin(B, "b"),
        *await gate.begin(R, "r1", "r2"),
        *await gate.begin(E, "e"),
    ]
    assert gate.inside == [*"1234", "share"]
    gate.done.set()
    await asyncio.gather(*working, *emergencies, *waiting)
    assert gate.inside[5:] == ["e", "r1", "r2", "b", "x"]


async def test_a_wait_that_would_be_too_long_is_refused_at_once_and_says_when_to_come_back(gate: Gate) -> None:
    tasks = await gate.begin(R, *map(str, range(44)))  # 40 waiting take a second
    async with finished(gate, *tasks):
        with pytest.raises(Overloaded) as refused:
            await gate.work(R, "late")
        assert 1.0 <= refused.value.retry_after_s <= 1.5
        with pytest.raises(Overloaded):
            gate.admission.knock(ANALYZE, {})
        gate.admission.knock(ANALYZE, {"x-cardiomesh-priority": "emergency"})
        tasks += await gate.begin(E, "emergency")
        assert "emergency" in gate.inside
        tasks += await gate.begin(B, "patient")


async def test_a_deadline_that_cannot_be_met_is_refused_at_once(gate: Gate) -> None:
    tasks = await gate.begin(R, *map(str, range(24)))  # 20 waiting take half a second
    async with finished(gate, *tasks):
        enter_budget(Budget.of(0.55))
        with pytest.raises(Overloaded, match="deadline"):
            await gate.work(R, "late")


async def test_whoever_waited_too_long_is_told(telemetry: Telemetry) -> None:
    enter_budget(Budget.of(60))
    gate = Gate(telemetry, wait_s=0.05)
    tasks = await gate.begin(R, *"1234")
    async with finished(gate, *tasks):
        with pytest.raises(Overloaded, match="waited"):
            await gate.work(R, "late")


async def test_who_goes_away_while_waiting_leaves_no_gap(gate: Gate) -> None:
    working = await gate.begin(R, *"1234")
    gone, stays = await gate.begin(R, "gone", "stays")
    gone.cancel()
    await settle()
    gate.done.set()
    await asyncio.gather(*working, stays)
    assert gate.inside == [*"1234", "stays"]
    assert len(await gate.begin(R, *"5678")) == 4
    assert gate.inside[-4:] == [*"5678"]


@pytest.mark.parametrize("gone_first", [True, False])
async def test_who_goes_away_as_the_place_comes_gives_it_on(gate: Gate, gone_first: bool) -> None:
    gate.done.set()
    for _ in range(4):
        await gate.admission.enter(R, "t", "k")
    first, second = await gate.begin(R, "first", "second")
    for step in (first.cancel, gate.admission.leave) if gone_first else (gate.admission.leave, first.cancel):
        step()
    await asyncio.wait_for(second, 5)
    assert gate.inside == ["second"]


async def test_what_failed_teaches_nothing_of_how_long_it_takes(gate: Gate) -> None:
    async def fails() -> None:
        async with gate.admission.turn(R, "t", "k") as turn:
            await turn.begin()
            raise Unavailable("away")

    with pytest.raises(Unavailable):
        await fails()
    assert gate.limit.expected("k") == pytest.approx(0.1)
    async with gate.admission.turn(R, "t", "k") as turn:
        await turn.begin()
        gate.clock.now += 1.1
    assert gate.limit.expected("k") == pytest.approx(0.2)


async def test_an_answer_without_work_takes_no_place(gate: Gate) -> None:
    tasks = await gate.begin(R, *map(str, range(44)))
    async with finished(gate, *tasks), gate.admission.turn(R, "t", "k"):
        pass


async def test_a_tenant_over_its_rate_is_told_when_it_may_come_back_but_no_emergency_is(telemetry: Telemetry) -> None:
    enter_budget(Budget.of(60))
    gate = Gate(telemetry, rate=0.5)
    gate.done.set()
    await gate.work(R, "1")
    with pytest.raises(RateLimited) as refused:
        await gate.work(R, "2")
    assert refused.value.retry_after_s == pytest.approx(2.0)
    await gate.work(E, "3")
    gate.clock.now += 2.0
    await gate.work(R, "4")
    assert gate.inside == ["1", "3", "4"]


async def test_refusals_are_counted_by_reason_and_priority(gate: Gate, telemetry: Telemetry) -> None:
    tasks = await gate.begin(R, *map(str, range(44)))
    async with finished(gate, *tasks):
        with pytest.raises(Overloaded):
            await gate.work(X, "late")
        lines = [line for line in telemetry.exposition()[0].decode().splitlines() if "calls_shed_total{" in line]
        assert len(lines) == 1
        assert 'cardiomesh_priority="explanation"' in lines[0]
        assert 'cardiomesh_shed="queue"' in lines[0]
