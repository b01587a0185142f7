"""Which windows there are does not depend on how the samples came."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.live.windows import Settled
from tests.unit.gateway.live.harness import RATE, chunks, form, hash_of, hashes, numbers, stream


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
