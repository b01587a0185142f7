"""How far explanations stand back from predictions: debts, pauses, and who counts as anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from explainer.pace import Pace


class Hands:
    """A clock, a processor and a bed that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.processor = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self, share: float) -> Pace:
        return Pace(share, clock=lambda: self.now, own=lambda: self.processor, sleep=self.sleep)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@contextmanager
def asked_for(hands: Hands, pace: Pace, seconds: float) -> Iterator[None]:
    with pace.asking():
        yield
        hands.now += seconds


async def test_what_was_computed_is_paid_for_with_a_pause_while_others_predict(hands: Hands) -> None:
    pace = hands.pace(0.1)
    pace.saw(5)
    with asked_for(hands, pace, 0.05):
        pass
    hands.processor += 0.03
    await pace.stand_back()
    await pace.stand_back()  # nothing was spent since
    assert hands.slept == pytest.approx([0.72, 0.0])


async def test_alone_it_does_not_wait_and_owes_nothing_later(hands: Hands) -> None:
    pace = hands.pace(0.1)
    pace.saw(5)
    hands.now += 10.0
    assert pace.alone
    with asked_for(hands, pace, 0.5):
        pass
    await pace.stand_back()
    pace.saw(6)
    assert not pace.alone
    await pace.stand_back()
    assert hands.slept == [0.0]


async def test_with_hardware_of_its_own_it_never_waits(hands: Hands) -> None:
    pace = hands.pace(1.0)
    pace.saw(5)
    with asked_for(hands, pace, 0.5):
        pass
    await pace.stand_back()
    assert hands.slept == []


async def test_a_request_that_hung_is_not_paid_for_at_length(hands: Hands) -> None:
    pace = hands.pace(0.1)
    pace.saw(5)
    with asked_for(hands, pace, 60.0):
        pass
    pace.saw(6)
    await pace.stand_back()
    assert hands.slept == [5.0]


@pytest.mark.parametrize(("later", "alone"), [(5, True), (1, True), (6, False), (-10_000, False)])
def test_only_more_predictions_or_a_new_triton_are_news(hands: Hands, later: int, alone: bool) -> None:
    """Its own are subtracted before Triton has counted them: the figure may fall for a moment and come back."""
    pace = hands.pace(0.1)
    pace.saw(5)
    hands.now += 10.0
    pace.saw(later)
    assert pace.alone is alone
    pace.saw(later)
    assert pace.alone is alone
