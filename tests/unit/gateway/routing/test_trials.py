"""Copies never touch an answer, and a bad canary goes by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import select

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import DeadlineExceeded, Unavailable
from gateway.admission import Priority
from gateway.catalogue import Catalogue
from gateway.door import current_call
from gateway.routing import Arm, Choice, ModelFailed, Router, Trials, Wanted
from gateway.routing.book import MemoryBook
from gateway.routing.changes import Changes
from gateway.routing.routes import Route, Target
from gateway.routing.trial import Bounds
from gateway.store import Ledger, LedgerKeys, migrate, open_engine
from gateway.store.tables import audit

Serve = Callable[..., None]
NAME = "hybrid_mobile"
V2, V3 = Target(model=NAME, version=2), Target(model=NAME, version=3)
BOUNDS = Bounds(errors=2.0, latency=1.5, disagreement=0.05, run_length=1e6)


class Slow:
    """Stands for Triton: answers when it is let, or fails."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.logits_of = {2: [5.0, -5.0], 3: [5.0, -5.0]}
        self.failing: set[int] = set()
        self.asked: list[int] = []

    async def logits(self, card: ModelCard, tensor: bytes, windows: int) -> dict[str, list[float]]:
        assert (current_call().caller.name, current_call().priority) == ("gateway", Priority.BATCH)
        self.asked.append(card.version)
        await self.gate.wait()
        if card.version in self.failing:
            raise Unavailable("gone")
        return {"statements": self.logits_of[card.version]}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    engine = open_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    await migrate(engine)
    opened = Ledger(engine, LedgerKeys.of(b"0" * 32), Telemetry("test"))
    yield opened
    await opened.close()


@pytest.fixture
def triton() -> Slow:
    return Slow()


@pytest.fixture
async def trials(
    router: Router, catalogue: Catalogue, book: MemoryBook, serve: Serve, triton: Slow, ledger: Ledger
) -> AsyncIterator[Trials]:
    serve("hybrid_mobile:2", "hybrid_mobile:3")
    telemetry = Telemetry("test")
    changes = Changes(router, catalogue, book, telemetry)
    made = Trials(router, changes, triton, telemetry, ledger, BOUNDS, busy=4)  # type: ignore[arg-type]
    yield made
    await made.close()
    telemetry.close()


async def on(router: Router, book: MemoryBook, change: Callable[[Route], Route]) -> None:
    await book.change(NAME, change)
    await router.refresh()


def choices(router: Router, arm: Arm, count: int) -> list[Choice]:
    """Recordings that fall to an arm."""
    found = (router.choose(Wanted(), "north", str(number)) for number in range(2000))
    return list(islice((choice for choice in found if choice.arm is arm), count))


def answered(trials: Trials, choice: Choice, probability: float = 0.99) -> None:
    with trials.inferring(choice):
        pass
    finding = types_pb2.Finding(code="NORM", probability=probability, present=probability >= 0.5)
    trials.compare(choice, b"tensor", 1, [finding, types_pb2.Finding(code="MI", probability=0.01)])


def fails(trials: Trials, choice: Choice, error: Exception | None = None) -> None:
    with pytest.raises((ModelFailed, DeadlineExceeded)), trials.inferring(choice):
        raise error or Unavailable("triton")


async def test_a_shadow_sees_copies_and_is_compared(
    router: Router, book: MemoryBook, trials: Trials, triton: Slow
) -> None:
    await on(router, book, lambda route: route.promoted(V2, None).with_shadow(V3, 1.0))
    triton.gate.set()
    triton.logits_of[3] = [-5.0, -5.0]
    answered(trials, router.choose(Wanted(), "north", "d"))
    assert triton.asked == []  # the answer has not waited
    await trials.settle()
    assert triton.asked == [3]
    ((trial, record),) = trials.of(router.route(NAME))
    assert (trial.target, record.arm, record.comparison.compared) == (V3, Arm.SHADOW, 1)
    assert record.comparison.statements["NORM"].became_absent == 1
    assert record.comparison.statements["MI"].agreement == 1.0
    assert (record.reference.inferences, record.candidate.inferences) == (1, 1)


async def test_copies_are_bounded_and_dropped_when_there_is_no_room(
    router: Router, book: MemoryBook, trials: Trials, triton: Slow
) -> None:
    await on(router, book, lambda route: route.promoted(V2, None).with_shadow(V3, 1.0))
    choice = router.choose(Wanted(), "north", "d")
    for _ in range(40):
        answered(trials, choice)
        await asyncio.sleep(0)
    ((_, record),) = trials.of(router.route(NAME))
    assert len(triton.asked) == 2  # at once
    assert record.comparison.dropped == 24  # of 40, sixteen wait or are under way
    triton.gate.set()
    await trials.settle()
    assert record.comparison.compared == 16
    triton.failing.add(3)
    answered(trials, choice)
    await trials.settle()
    assert (record.comparison.dropped, record.candidate.failures) == (25, 1)


async def test_a_busy_gateway_makes_no_copies(router: Router, book: MemoryBook, trials: Trials, triton: Slow) -> None:
    await on(router, book, lambda route: route.promoted(V2, None).with_shadow(V3, 1.0))
    choice = router.choose(Wanted(), "north", "d")
    inside = [trials.inferring(choice) for _ in range(5)]
    for one in inside:
        one.__enter__()
    answered(trials, choice)
    for one in inside:
        one.__exit__(None, None, None)
    await trials.settle()
    assert triton.asked == []


async def test_a_canary_that_fails_goes_and_it_is_written_down(
    router: Router, book: MemoryBook, trials: Trials, ledger: Ledger
) -> None:
    await on(router, book, lambda route: route.with_canary(V3, 0.1, V2))
    for choice in choices(router, Arm.STABLE, 200):
        answered(trials, choice)
    bad = choices(router, Arm.CANARY, 30)
    used = 0
    while not router.suspended:
        fails(trials, bad[used])
        used += 1
    assert used <= 10
    assert {choice.arm for choice in choices(router, Arm.STABLE, 300)} == {Arm.STABLE}
    assert choices(router, Arm.CANARY, 1) == []  # at once, here
    await trials.settle()
    route = (await book.read())[NAME]  # and for everybody
    assert (route.canary, route.stable, route.withdrawn) == (None, V2, {V3})
    async with ledger.engine.connect() as connection:
        (record,) = [json.loads(body) for body in await connection.scalars(select(audit.c.body))]
    assert (record["caller"], record["model"], record["model_version"]) == ("gateway", NAME, 3)
    assert record["method"].endswith("/Rollback")
    assert record["detail"].startswith("canary hybrid_mobile:3 of hybrid_mobile at 0.1: rolled back, errors: mean 1")


async def test_an_outage_that_hits_both_sides_is_not_the_canarys_fault(
    router: Router, book: MemoryBook, trials: Trials
) -> None:
    await on(router, book, lambda route: route.with_canary(V3, 0.1, V2))
    for number in range(2000):
        fails(trials, router.choose(Wanted(), "north", str(number)), DeadlineExceeded("late"))
    assert not router.suspended


async def test_a_canary_that_is_slow_goes(
    router: Router, book: MemoryBook, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    await on(router, book, lambda route: route.with_canary(V3, 0.1, V2))
    now = 0.0
    monkeypatch.setattr("gateway.routing.trials.time.perf_counter", lambda: now)

    def took(choice: Choice, seconds: float) -> None:
        nonlocal now
        with trials.inferring(choice):
            now += seconds

    stable, canary = choices(router, Arm.STABLE, 100), choices(router, Arm.CANARY, 60)
    for choice in stable:
        took(choice, 0.020)
    for choice in canary:
        took(choice, 0.034)  # within 1.5 times and the slack
    assert not router.suspended
    for choice in canary:
        took(choice, 0.040)
    assert router.suspended


async def test_a_canary_that_disagrees_goes_and_one_that_agrees_stays(
    router: Router, book: MemoryBook, trials: Trials, triton: Slow
) -> None:
    triton.gate.set()
    await on(router, book, lambda route: route.with_canary(V3, 0.5, V2))
    for choice in choices(router, Arm.CANARY, 50):
        answered(trials, choice)
        await trials.settle()
    assert set(triton.asked) == {2}
    assert not router.suspended
    for choice in choices(router, Arm.CANARY, 15):
        answered(trials, choice, probability=0.2)
        await trials.settle()
    assert (await book.read())[NAME].canary is None


async def test_a_new_share_is_a_new_trial(router: Router, book: MemoryBook, trials: Trials) -> None:
    await on(router, book, lambda route: route.with_canary(V3, 0.1, V2))
    fails(trials, choices(router, Arm.CANARY, 1)[0])
    ((_, record),) = trials.of(router.route(NAME))
    assert record.candidate.failures == 1
    await on(router, book, lambda route: route.with_canary(V3, 0.2, V2))
    ((_, record),) = trials.of(router.route(NAME))
    assert record.candidate.failures == 0


async def test_while_the_store_is_away_the_canary_is_stopped_here_all_the_same(
    router: Router, book: MemoryBook, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    await on(router, book, lambda route: route.with_canary(V3, 0.1, V2))
    pauses: list[float] = []

    async def away(name: str, change: object) -> Route:
        raise Unavailable("the store is away")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            monkeypatch.undo()

    for choice in choices(router, Arm.STABLE, 200):
        answered(trials, choice)
    monkeypatch.setattr(book, "change", away)
    monkeypatch.setattr("gateway.routing.trials.asyncio.sleep", pause)
    for choice in choices(router, Arm.CANARY, 60):
        fails(trials, choice)
        if router.suspended:
            break
    await trials.settle()
    assert len(pauses) == 3
    assert (await book.read())[NAME].canary is None
