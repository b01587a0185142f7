"""Which windows there are does not depend on how the samples came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiomesh._proto.gateway.v1 import gateway_pb2
from gateway.live.stream import Skipped, Windowed
from gateway.live.windows import Settled
from tests.unit.gateway.live.harness import RATE, chunk, chunks, form, hash_of, hashes, numbers, stream


@settings(deadline=None)
@given(
    samples=st.integers(0, 400),
    stride=st.integers(1, 15),
    sizes=st.lists(st.integers(1, 250), max_size=40),
)
def test_any_chunking_gives_the_same_windows(samples: int, stride: int, sizes: list[int]) -> None:
    x = numbers(samples)
    live = stream(form(stride=stride), at_once=2)

    async def run() -> dict[int, str]:
        return hashes([item async for item in live.run(chunks(x, sizes))])

    step = stride * RATE
    starts = range(0, samples - 100 + 1, step)
    assert asyncio.run(run()) == {s // step: hash_of(x[:, s : s + 100]) for s in starts}
    covered = max((s + 100 for s in starts), default=0)
    assert live.unused == samples - covered


@settings(deadline=None)
@given(
    pieces=st.lists(st.tuples(st.integers(-30, 150), st.integers(1, 130)), max_size=25),
    stride=st.integers(1, 15),
    skips=st.booleans(),
    behind=st.integers(0, 120),
)
def test_whatever_comes_twice_late_or_never_each_window_is_answered_or_named_once(
    pieces: list[tuple[int, int]], stride: int, skips: bool, behind: int
) -> None:
    x, step = numbers(5000), stride * RATE
    when = gateway_pb2.WHEN_BEHIND_SKIP if skips else gateway_pb2.WHEN_BEHIND_WAIT
    live = stream(form(stride=stride, when_behind=when), behind=behind)
    came = np.zeros(5000, bool)
    sent, end = [], 0
    for ahead, count in pieces:  # each a little before, at, or after where the last ended
        first = max(0, end + (ahead if ahead < 100 or ahead % 3 == 0 else 0))
        if first + count > 5000:
            break
        came[max(first, end) : first + count] = True
        end = max(end, first + count)
        sent.append(chunk(first, x[:, first : first + count]))

    async def requests() -> AsyncIterator[gateway_pb2.AnalyzeStreamRequest]:
        for request in sent:
            yield request

    async def run() -> list[Windowed | Skipped]:
        return [item async for item in live.run(requests())]

    items = asyncio.run(run())
    named = [k for item in items if isinstance(item, Skipped) for k in range(item.first, item.after)]
    behind_ = [item for item in items if isinstance(item, Skipped) and item.reason == gateway_pb2.SKIP_REASON_BEHIND]
    answered = hashes(items)
    assert len(named) == len(set(named))
    assert not set(named) & answered.keys()
    assert answered == {k: hash_of(x[:, k * step : k * step + 100]) for k in answered}
    complete = {k for k in range(5000 // step) if k * step + 100 <= end and came[k * step : k * step + 100].all()}
    assert complete <= answered.keys() | set(named)
    assert answered.keys() <= complete
    if not skips:
        assert answered.keys() == complete
        assert not behind_
    last = max([*answered, *named], default=-1)
    assert sorted([*answered, *named]) == list(range(last + 1))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), max_size=30))
def test_settled_is_the_set_it_stands_for(spans: list[tuple[int, int]]) -> None:
    settled, plain = Settled(), set[int]()
    for first, count in spans:
        settled.add(first, first + count)
        plain |= set(range(first, first + count))
    assert [k for k in range(80) if k in settled] == sorted(plain)
    assert settled.low == next(k for k in range(81) if k not in plain)
    open_ = [k for first, after in settled.missing(0, 80) for k in range(first, after)]
    assert open_ == [k for k in range(80) if k not in plain]
    again = Settled(settled.low, settled.above)
    assert [k for k in range(80) if k in again] == sorted(plain)


@settings(deadline=None)
@given(
    taken=st.integers(0, 6),
    ahead=st.sets(st.integers(0, 10), max_size=4),
    size=st.integers(1, 120),
)
def test_a_resumed_stream_answers_what_is_left_and_nothing_twice(taken: int, ahead: set[int], size: int) -> None:
    x, settled = numbers(200), Settled(taken)
    for index in ahead:
        settled.add(index, index + 1)
    done = set(range(taken)) | ahead
    live = stream(form(), settled=settled)

    async def run() -> dict[int, str]:
        resumed = chunks(x, [size] * 200, first=settled.low * RATE)
        return hashes([item async for item in live.run(resumed)])

    assert asyncio.run(run()) == {k: hash_of(x[:, k * RATE : k * RATE + 100]) for k in range(11) if k not in done}
