"""The room's front: who may stream, how a stream ends, and how another gateway takes it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.errors import (
    DeadlineExceeded,
    FieldViolation,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
    UnfitRecording,
)
from tests.unit.gateway.live.harness import (
    RATE,
    Analysis,
    Card,
    Model,
    as_tenant,
    chunks,
    desk,
    hash_of,
    numbers,
    start,
)

Request = gateway_pb2.AnalyzeStreamRequest
Part = gateway_pb2.AnalyzeStreamResponse


@pytest.fixture(autouse=True)
def call() -> None:
    """As the door leaves it."""
    as_tenant("north")


X = numbers(300) + 1


async def sent(first: int = 0, last: int = 300, **changes: Any) -> AsyncIterator[Request]:
    yield Request(start=start(**changes))
    async for request in chunks(X[:, :last], [37] * 300, first):
        yield request


async def taken(parts: AsyncIterator[Part]) -> tuple[list[Part], Exception | None]:
    """All parts, and what the stream raised at the end."""
    found: list[Part] = []
    try:
        async for part in parts:
            found.append(part)
    except Exception as error:
        return found, error
    return found, None


def windows(parts: list[Part]) -> dict[int, str]:
    return {p.window.index: p.window.answer.signal_hash for p in parts if p.HasField("window")}


EXPECTED = {k: hash_of(X[:, k * RATE : k * RATE + 100]) for k in range(21)}


async def test_started_windows_end() -> None:
    analysis = Analysis()
    parts, error = await taken(desk(analysis).stream(sent(subject_ref="s")))
    assert error is None
    assert [p.WhichOneof("part") for p in parts] == ["started", *["window"] * 21, "end"]
    assert windows(parts) == EXPECTED
    first, last = parts[0].started, parts[-1].end
    assert (first.model.name, first.model.version, first.window_samples, first.stride_samples) == (
        "hybrid_mobile", 3, 100, 10,
    )  # fmt: skip
    assert (last.reason, last.answered, last.refused, last.skipped) == (gateway_pb2.END_REASON_COMPLETE, 21, 0, 0)
    # The version that answered first is the one that is asked, uncached, of everything that was stated.
    asked = analysis.requests[-1]
    assert (asked.model, asked.model_version, asked.bypass_cache) == ("hybrid_mobile", 3, True)
    assert asked.recording.subject_ref == "s"


@pytest.mark.parametrize("cut", range(22))
async def test_any_answers_token_takes_the_stream_up_without_losing_or_doubling_a_window(cut: int) -> None:
    before: list[Part] = []
    stream = desk().stream(sent())
    async for part in stream:
        before.append(part)
        if len(before) == cut + 1:
            break
    await stream.aclose()
    token, needed = before[-1].resumption_token, before[-1].next_sample
    after, error = await taken(desk().stream(sent(needed, resumption_token=token)))  # another gateway, same key
    assert error is None
    assert after[0].started.resumed
    assert not windows(before).keys() & windows(after).keys()
    assert windows(before) | windows(after) == EXPECTED


async def test_what_was_delivered_out_of_turn_is_not_delivered_again_and_its_alarm_stands() -> None:
    """The fourth window shows something critical and comes first; then the connection breaks."""
    asked, held = 0, asyncio.Event()

    class Watching(Analysis):
        async def analyze(self, request: gateway_pb2.AnalyzeRequest) -> gateway_pb2.AnalyzeResponse:
            nonlocal asked
            answer = await super().analyze(request)
            if answer.signal_hash == EXPECTED.get(3):
                answer.findings.add(code="VF", name="VF", present=True, urgency=types_pb2.URGENCY_CRITICAL)
            asked += any(request.recording.signal.samples)
            if asked == 6:
                held.set()
            await held.wait()
            return answer

    stream = desk(Watching(), windows_at_once=6).stream(sent())
    before = [await anext(stream), await anext(stream)]
    await stream.aclose()
    assert windows(before) == {3: EXPECTED[3]}
    assert before[-1].next_sample == 0
    after, error = await taken(desk().stream(sent(resumption_token=before[-1].resumption_token)))
    assert error is None
    assert after[0].started.active_alarms == ["VF"]
    assert windows(after) == {k: found for k, found in EXPECTED.items() if k != 3}
    cleared = [a for part in after for a in part.window.alarms]
    assert [(a.code, a.state, a.onset) for a in cleared] == [("VF", gateway_pb2.ALARM_STATE_CLEARED, 3.0)]


async def test_a_token_of_another_tenant_or_start_is_refused() -> None:
    parts, _ = await taken(desk().stream(sent()))
    token = parts[5].resumption_token
    as_tenant("south")
    _, error = await taken(desk().stream(sent(resumption_token=token)))
    assert isinstance(error, InvalidRequest)
    as_tenant("north")
    _, error = await taken(desk().stream(sent(resumption_token=token, subject_ref="another")))
    assert isinstance(error, InvalidRequest)


async def test_a_model_that_is_no_longer_the_same_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, _ = await taken(desk().stream(sent()))
    monkeypatch.setattr(Model, "card", Card(digest="cd"))
    _, error = await taken(desk().stream(sent(resumption_token=parts[5].resumption_token)))
    assert isinstance(error, NotFound)


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"unit": "furlong"}, InvalidRequest, "start.unit"),
        ({"stride": 0.2}, InvalidRequest, "start.stride"),
        ({"model": "resnet"}, NotFound, None),
    ],
)
async def test_a_start_that_cannot_be_answered_is_refused_before_any_sample(
    changes: dict[str, Any], error: type[Exception], field: str | None
) -> None:
    parts, raised = await taken(desk().stream(sent(**changes)))
    assert parts == []
    assert isinstance(raised, error)
    if field is not None:
        assert isinstance(raised, InvalidRequest)
        assert [violation.field for violation in raised.violations] == [field]


@pytest.mark.parametrize("first", [[], [Request()], [Request(chunk=gateway_pb2.AnalyzeStreamChunk(samples=b"12"))]])
async def test_the_start_comes_first(first: list[Request]) -> None:
    async def requests() -> AsyncIterator[Request]:
        for request in first:
            yield request

    parts, error = await taken(desk().stream(requests()))
    assert (parts, type(error)) == ([], InvalidRequest)


async def silent() -> AsyncIterator[Request]:
    yield Request(start=start())
    await asyncio.Event().wait()


async def test_places_are_limited_per_gateway_and_per_tenant_and_given_back() -> None:
    live = desk()
    open_ = [live.stream(silent()), live.stream(silent())]
    for stream in open_:
        await anext(stream)
    _, error = await taken(live.stream(silent()))
    assert isinstance(error, Overloaded)
    assert "tenant" in str(error)
    as_tenant("south")
    open_.append(live.stream(silent()))
    await anext(open_[-1])
    as_tenant("west")
    _, error = await taken(live.stream(silent()))
    assert isinstance(error, Overloaded)
    assert "tenant" not in str(error)
    for stream in open_:
        await stream.aclose()
    assert (await taken(live.stream(sent())))[1] is None


async def test_an_idle_stream_ends_typed_and_can_be_taken_up() -> None:
    parts, error = await taken(desk(idle_s=0.01).stream(silent()))
    assert [p.WhichOneof("part") for p in parts] == ["started", "end"]
    assert parts[-1].end.reason == gateway_pb2.END_REASON_IDLE
    assert isinstance(error, DeadlineExceeded)
    after, error = await taken(desk().stream(sent(resumption_token=parts[-1].resumption_token)))
    assert (windows(after), error) == (EXPECTED, None)


async def test_a_draining_gateway_hands_its_streams_over() -> None:
    live = desk()
    reached = asyncio.Event()

    async def half_sent() -> AsyncIterator[Request]:
        async for request in sent(last=160):
            yield request
        reached.set()
        await asyncio.Event().wait()

    running = asyncio.ensure_future(taken(live.stream(half_sent())))
    await reached.wait()
    await live.drain()
    before, error = await running
    assert before[-1].end.reason == gateway_pb2.END_REASON_DRAINING
    assert isinstance(error, Unavailable)
    _, refused = await taken(live.stream(sent()))
    assert isinstance(refused, Unavailable)
    last = before[-1]
    after, error = await taken(desk().stream(sent(last.next_sample, resumption_token=last.resumption_token)))
    assert error is None
    assert not windows(before).keys() & windows(after).keys()
    assert windows(before) | windows(after) == EXPECTED


async def test_a_refused_window_keeps_its_reason_and_a_lost_backend_gets_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.live.answering._PAUSES_S", (0.0, 0.0))
    tries = 0

    async def answer(request: gateway_pb2.AnalyzeRequest) -> None:
        nonlocal tries
        tries += 1
        if tries in (1, 2):
            raise Unavailable("triton cannot be reached")
        if tries == 4:
            raise UnfitRecording("V2 is off", [FieldViolation("recording.leads[V2]", "off", "CONTACT_LOSS")])
        if tries >= 5:
            raise Unavailable("triton cannot be reached")

    parts, error = await taken(desk(Analysis(answer)).stream(sent(last=120)))
    assert error is None
    outcomes = [(p.window.index, p.window.error.reason) for p in parts if p.HasField("window")]
    assert outcomes == [(0, ""), (1, "UNFIT_RECORDING"), (2, "UNAVAILABLE")]
    assert tries == 3 + 1 + 3
    assert (parts[-1].end.answered, parts[-1].end.refused) == (1, 2)


async def test_each_window_has_a_deadline_of_its_own() -> None:
    async def answer(request: gateway_pb2.AnalyzeRequest) -> None:
        for _ in range(3):  # long enough for a deadline that has passed to be noticed
            await asyncio.sleep(0)
        enter_budget(Budget.of(-1.0))  # its time is up, and no other's

    parts, error = await taken(desk(Analysis(answer)).stream(sent()))
    assert (windows(parts), error) == (EXPECTED, None)


async def test_measurements_travel_only_when_asked_for_and_alarms_do_without() -> None:
    class Measuring(Analysis):
        async def analyze(self, request: gateway_pb2.AnalyzeRequest) -> gateway_pb2.AnalyzeResponse:
            answer = await super().analyze(request)
            assert request.measure
            answer.measurements.add(key="rhythm.heart_rate", value=190, status=types_pb2.MEASUREMENT_STATUS_MEASURED)
            return answer

    plain, _ = await taken(desk(Measuring()).stream(sent(last=100)))
    asked, _ = await taken(desk(Measuring()).stream(sent(last=100, measure=True)))
    for parts, count in ((plain, 0), (asked, 1)):
        window = parts[1].window
        assert len(window.answer.measurements) == count
        assert window.critical
        assert [(a.code, a.state) for a in window.alarms] == [("fast_ventricular_rate", gateway_pb2.ALARM_STATE_RAISED)]
        assert window.active_alarms == ["fast_ventricular_rate"]
