"""Concurrent identical questions are computed once, and nobody suffers for another's deadline."""

from __future__ import annotations

import asyncio

import pytest

from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.errors import DeadlineExceeded, InvalidRequest
from gateway.analysis.flights import Flights


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.started = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        self.started.set()
        await self.release.wait()
        return self.runs


async def test_one_computation_serves_all_who_ask_meanwhile() -> None:
    flights, work = Flights[int](), Work()
    first = asyncio.create_task(flights.share("k", work))
    await work.started.wait()
    others = [asyncio.create_task(flights.share("k", work)) for _ in range(10)]
    await asyncio.sleep(0)
    work.release.set()
    assert await first == (1, True)
    assert await asyncio.gather(*others) == [(1, False)] * 10
    assert await flights.share("k", work) == (2, True)


async def test_different_keys_do_not_wait_for_each_other() -> None:
    flights, slow, quick = Flights[int](), Work(), Work()
    quick.release.set()
    waiting = asyncio.create_task(flights.share("slow", slow))
    await slow.started.wait()
    assert await flights.share("quick", quick) == (1, True)
    slow.release.set()
    assert await waiting == (1, True)


async def test_an_error_reaches_all_and_is_not_remembered() -> None:
    flights, started, release = Flights[int](), asyncio.Event(), asyncio.Event()

    async def fails() -> int:
        started.set()
        await release.wait()
        raise InvalidRequest("bad")

    tasks = [asyncio.create_task(flights.share("k", fails)) for _ in range(3)]
    await started.wait()
    release.set()
    assert all(isinstance(e, InvalidRequest) for e in await asyncio.gather(*tasks, return_exceptions=True))
    work = Work()
    work.release.set()
    assert await flights.share("k", work) == (1, True)


@pytest.mark.parametrize("ending", ["deadline", "cancelled"])
async def test_those_who_wait_go_on_when_the_first_cannot(ending: str) -> None:
    flights, started, late = Flights[int](), asyncio.Event(), asyncio.Event()
    enter_budget(Budget.of(60))

    async def doomed() -> int:
        started.set()
        await late.wait()
        raise DeadlineExceeded("late")

    first = asyncio.create_task(flights.share("k", doomed))
    await started.wait()
    work = Work()
    work.release.set()
    second = asyncio.create_task(flights.share("k", work))
    await asyncio.sleep(0)
    if ending == "deadline":
        late.set()
    else:
        first.cancel()
    assert await second == (1, True)
    with pytest.raises((DeadlineExceeded, asyncio.CancelledError)):
        await first


async def test_one_who_stops_waiting_stops_alone() -> None:
    flights, work = Flights[int](), Work()
    first = asyncio.create_task(flights.share("k", work))
    await work.started.wait()
    second = asyncio.create_task(flights.share("k", work))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    work.release.set()
    assert await first == (1, True)


async def test_who_started_it_and_who_waits_are_cancelled_together() -> None:
    flights, work = Flights[int](), Work()
    owner = asyncio.create_task(flights.share("k", work))
    await work.started.wait()
    waiter = asyncio.create_task(flights.share("k", work))
    await asyncio.sleep(0)
    owner.cancel()
    waiter.cancel()  # it wakes when the work is cancelled, and before its owner has: once, that stopped the whole loop
    ends = await asyncio.gather(owner, waiter, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    assert work.runs == 1
