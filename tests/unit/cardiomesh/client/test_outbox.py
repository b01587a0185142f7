"""Whatever is put in, answered, lost and sent again: the mesh gets each sample that it still needs, at its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client._live_start import live_outbox
from cardiomesh.client._outbox import Outbox
from cardiomesh.errors import InvalidRequest

LEADS = ("I", "II", "V1")


def outbox(unsent: float = 60.0, **arguments: object) -> Outbox:
    return live_outbox(10.0, {"leads": LEADS, "sample_type": "int16", **arguments}, unsent)  # type: ignore[typeddict-item]


def block(first: int, count: int) -> np.ndarray:
    """Each sample holds its own number."""
    return np.broadcast_to(np.arange(first, first + count, dtype=np.int16), (3, count))


def sent(box: Outbox) -> list[int]:
    """All that is unsent, as the numbers that the samples hold; each chunk says where it belongs."""
    numbers: list[int] = []
    while (request := box.next()) is not None:
        values = np.frombuffer(request.chunk.samples, "<i2").reshape(-1, 3)
        assert (values == values[:, :1]).all()
        assert values[0, 0] == request.chunk.first_sample
        assert (np.diff(values[:, 0]) == 1).all()
        numbers += values[:, 0].tolist()
    return numbers


def answered(box: Outbox, next_sample: int) -> None:
    message = gateway_pb2.AnalyzeStreamResponse(resumption_token=b"%d" % next_sample, next_sample=next_sample)
    box.answered(message)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 40)),
        st.tuples(st.just("send"), st.just(0)),
        st.tuples(st.just("answer"), st.floats(0, 1)),
        st.tuples(st.just("reconnect"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_that_is_needed_is_lost_and_nothing_is_sent_twice_on_one_connection(
    steps: list[tuple[str, float]],
) -> None:
    box, end, needed, on_this_connection = outbox(), 0, 0, list[int]()
    box.opening()
    since = 0
    for step, value in steps:
        if step == "put":
            box.put(block(end, int(value)))
            end += int(value)
        elif step == "send":
            on_this_connection += sent(box)
            assert on_this_connection == list(range(since, end))
        elif step == "answer":
            reached = since + len(on_this_connection)
            needed += int(value * (reached - needed)) if reached > needed else 0
            answered(box, needed)
        else:
            start = box.opening().start
            assert start.resumption_token == (b"%d" % needed if box.started else b"")
            on_this_connection, since = [], needed
    on_this_connection += sent(box)
    assert on_this_connection == list(range(since, end))
    assert box.unsent == 0


def test_a_sender_who_can_wait_has_to() -> None:
    box = outbox(unsent=2.0)
    box.put(block(0, 19))
    assert not box.full
    box.put(block(19, 1))
    assert box.full
    sent(box)
    assert not box.full


def test_a_source_that_cannot_wait_leaves_a_gap_that_says_where() -> None:
    box = outbox(unsent=2.0, when_behind="skip")
    box.put(block(0, 5))
    sent(box)
    for first in range(5, 105, 10):
        box.put(block(first, 10))
        assert not box.full
        assert box.unsent <= 20
    assert sent(box) == list(range(85, 105))
    box.opening()
    assert sent(box)[:5] == [
        0,
        1,
        2,
        3,
        4,
    ]  # what was sent is kept for the next connection


def test_memory_does_not_grow_with_what_is_answered() -> None:
    box = outbox()
    for first in range(0, 30_000, 10):
        box.put(block(first, 10))
        sent(box)
        answered(box, max(0, first - 100))
    assert len(box._blocks) < 15


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (np.zeros((2, 5), np.int16), "SHAPE"),
        (np.zeros(5, np.int16), "SHAPE"),
        (np.zeros((3, 5)), "DTYPE"),
        (np.zeros((3, 5), bool), "DTYPE"),
        (np.zeros((3, 5), complex), "DTYPE"),
        (np.full((3, 5), 40_000), "OUT_OF_RANGE"),
    ],
)
def test_what_was_not_announced_is_refused(chunk: np.ndarray, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        outbox().put(chunk)
    assert caught.value.violations[0].reason == reason


def test_the_start_carries_what_was_said() -> None:
    start = outbox(stride=2.5, slow_below=55.0, age_years=40, sex="female", scale=0.5, subject_ref="x").opening().start
    assert (start.stride, start.rate_limits.low, start.scale) == (2.5, 55.0, 0.5)
    assert not start.rate_limits.HasField("high")
    assert (start.patient.age_years, start.subject_ref) == (40, "x")
    with pytest.raises(InvalidRequest):
        outbox(when_behind="panic")
