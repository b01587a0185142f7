"""Short memory: bounded in bytes and in time."""

from __future__ import annotations

import pytest

from cardiomesh._proto.types.v1 import types_pb2
from gateway.analysis.recent import Recent


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lead(letter: str) -> types_pb2.File:
    return types_pb2.File(content=letter.encode() * 98)  # 100 bytes on the wire


def test_the_least_recently_used_leave_when_there_is_no_room(clock: Clock) -> None:
    recent = Recent(300, 60.0, clock)
    for key in "abc":
        recent.put(key, lead(key))
    assert recent.get("a", types_pb2.File) == lead("a")
    recent.put("d", lead("d"))
    assert [key for key in "abcd" if recent.get(key, types_pb2.File)] == ["a", "c", "d"]


def test_it_forgets(clock: Clock) -> None:
    recent = Recent(300, 60.0, clock)
    recent.put("a", lead("a"))
    clock.now = 59.9
    assert recent.get("a", types_pb2.File)
    clock.now = 60.0
    assert recent.get("a", types_pb2.File) is None


def test_what_is_forgotten_leaves_room_though_nobody_asks_for_it(clock: Clock) -> None:
    recent = Recent(300, 60.0, clock)
    for key in "abc":
        recent.put(key, lead(key))
    clock.now = 61.0
    recent.put("d", lead("d"))
    clock.now = 0.0
    assert recent.get("a", types_pb2.File) is None


def test_a_key_kept_twice_counts_once(clock: Clock) -> None:
    recent = Recent(200, 60.0, clock)
    for key in "abbbb":
        recent.put(key, lead(key))
    assert recent.get("a", types_pb2.File)


@pytest.mark.parametrize("room", [0, 99])
def test_what_does_not_fit_is_not_kept(clock: Clock, room: int) -> None:
    recent = Recent(room, 60.0, clock)
    recent.put("a", lead("a"))
    assert recent.get("a", types_pb2.File) is None
    assert recent.get("b", types_pb2.File) is None


def test_what_was_kept_as_another_kind_is_not_found(clock: Clock) -> None:
    recent = Recent(300, 60.0, clock)
    recent.put("a", lead("a"))
    assert recent.get("a", types_pb2.Signal) is None
