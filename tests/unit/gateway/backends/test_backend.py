"""A backend that is away is left alone at once, and only what is safe to repeat is repeated, within the budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, Unavailable
from gateway.backends.backend import Backend, RetryBudget
from tests.clock import Clock

AWAY, LATE, WRONG = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INVALID_ARGUMENT


class Method:
    """A multicallable that answers as it is told, and counts."""

    def __init__(self) -> None:
        self.outcomes: list[grpc.StatusCode | None] = []
        self.calls = 0

    async def __call__(self, request: str, **_: object) -> str:
        self.calls += 1
        code = self.outcomes.pop(0) if self.outcomes else None
        if code is not None:
            raise AioRpcError(code, Metadata(), Metadata())
        return request


class Part:
    """A backend on a clock of the test's own, with one method."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.clock = Clock()
        self.method = Method()
        self.backend = Backend("part", grpc.aio.insecure_channel("localhost:1"), telemetry, clock=self.clock)
        self.hop: Hop[str, str] = self.backend.hop(self.method)

    async def fails(self, code: grpc.StatusCode, kind: type[CardioMeshError], target: str = "") -> None:
        self.method.outcomes = [code]
        with pytest.raises(kind):
            await self.backend.once(self.hop, "x", target)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry("test")
    yield made
    made.close()


@pytest.fixture
async def part(telemetry: Telemetry) -> AsyncIterator[Part]:
    enter_budget(Budget.of(60))
    made = Part(telemetry)
    yield made
    await made.backend.channel.close()


def metric(telemetry: Telemetry, name: str) -> float:
    lines = telemetry.exposition()[0].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"cardiomesh_{name}{{"))


async def test_after_failures_in_a_row_it_is_not_even_asked_and_comes_back_by_itself(
    part: Part, telemetry: Telemetry
) -> None:
    for _ in range(5):
        await part.fails(AWAY, Unavailable)
    assert metric(telemetry, "breakers_open") == 1
    with pytest.raises(Unavailable, match="left alone"):
        await part.backend.once(part.hop, "x")
    assert part.method.calls == 5
    part.clock.now += 1.0
    assert await part.backend.once(part.hop, "x") == "x"
    assert metric(telemetry, "breakers_open") == 0


async def test_whoever_answers_in_its_own_words_is_there(part: Part) -> None:
    for _ in range(3):
        for _ in range(4):
            await part.fails(AWAY, Unavailable)
        await part.fails(WRONG, InvalidRequest)
    assert await part.backend.once(part.hop, "x") == "x"


async def test_a_deadline_counts_only_where_there_was_time(part: Part) -> None:
    enter_budget(Budget.of(0.3))
    for _ in range(20):
        await part.fails(LATE, DeadlineExceeded)
    enter_budget(Budget.of(60))
    for _ in range(5):
        await part.fails(LATE, DeadlineExceeded)
    with pytest.raises(Unavailable, match="left alone"):
        await part.backend.once(part.hop, "x")


async def test_one_target_does_not_take_the_others_with_it(part: Part) -> None:
    for _ in range(5):
        await part.fails(AWAY, Unavailable, "gone")
    assert await part.backend.once(part.hop, "x", "there") == "x"
    with pytest.raises(Unavailable):
        await part.backend.once(part.hop, "x", "gone")


async def test_a_lost_connection_is_tried_again(part: Part, telemetry: Telemetry) -> None:
    part.method.outcomes = [AWAY, AWAY, None]
    assert await part.backend.idempotent(part.hop, "x") == "x"
    assert metric(telemetry, "hop_retries_total") == 2


@pytest.mark.parametrize(("code", "kind"), [(WRONG, InvalidRequest), (LATE, DeadlineExceeded)])
async def test_nothing_else_is_tried_again(part: Part, code: grpc.StatusCode, kind: type[CardioMeshError]) -> None:
    part.method.outcomes = [code, None]
    with pytest.raises(kind):
        await part.backend.idempotent(part.hop, "x")
    assert part.method.calls == 1


async def test_an_open_breaker_ends_the_tries(part: Part) -> None:
    part.method.outcomes = [AWAY] * 100
    for _ in range(10):
        with pytest.raises(Unavailable):
            await part.backend.idempotent(part.hop, "x")
    assert part.method.calls == 5


def test_retries_are_a_tenth_of_the_calls() -> None:
    budget = RetryBudget()
    assert sum(budget.take() for _ in range(100)) == 10  # what a quiet gateway may spend
    for _ in range(105):
        budget.called()
    assert sum(budget.take() for _ in range(100)) == 10
