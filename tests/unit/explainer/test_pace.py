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


def company(hands: Hands, pace: Pace, predictions: int = 10) -> None:
    """Two looks, a second apart, and what others have asked for between them."""
    pace.saw(100)
    hands.now += 1.0
    pace.saw(100 + predictions)


async def test_what_was_computed_is_paid_for_with_a_pause_while_others_predict(hands: Hands) -> None:
    pace = hands.pace(0.1)
    company(hands, pace)
    with asked_for(hands, pace, 0.05):
        pass
    hands.processor += 0.03
    await pace.stand_back()
    await pace.stand_back()  # nothing was spent since
    assert hands.slept == pytest.approx([0.72, 0.0])


async def test_alone_it_does_not_wait_and_owes_nothing_later(hands: Hands) -> None:
    pace = hands.pace(0.1)
    assert pace.alone
    with asked_for(hands, pace, 0.5):
        pass
    await pace.stand_back()
    company(hands, pace)
    await pace.stand_back()
    assert hands.slept == [0.0]


async def test_with_hardware_of_its_own_it_never_waits(hands: Hands) -> None:
    pace = hands.pace(1.0)
    company(hands, pace)
    with asked_for(hands, pace, 0.5):
        pass
    await pace.stand_back()
    assert hands.slept == []


async def test_a_request_that_hung_is_not_paid_for_at_length(hands: Hands) -> None:
    pace = hands.pace(0.1)
    company(hands, pace)
    with asked_for(hands, pace, 60.0):
        pass
    await pace.stand_back()
    assert hands.slept == [5.0]


@pytest.mark.parametrize(
    ("predictions", "alone"),
    [(3, True), (4, False), (-4, True), (-60, True)],  # its own are subtracted before Triton has counted them
)
def test_few_predictions_are_no_company(hands: Hands, predictions: int, alone: bool) -> None:
    pace = hands.pace(0.1)
    company(hands, pace, predictions)
    assert pace.alone is alone
    hands.now += 0.5
    pace.saw(100 + max(predictions, 0))  # and come back when it has
    assert pace.alone is alone


def test_company_is_over_when_nobody_has_asked_for_a_while(hands: Hands) -> None:
    pace = hands.pace(0.1)
    company(hands, pace)
    hands.now += 1.9
    pace.saw(110)
    assert not pace.alone
    hands.now += 0.2
    pace.saw(110)
    assert pace.alone


@pytest.mark.parametrize(("predictions", "alone"), [(9, True), (10, False)])
def test_after_a_long_pause_it_is_the_rate_that_counts(hands: Hands, predictions: int, alone: bool) -> None:
    pace = hands.pace(0.1)
    pace.saw(100)
    hands.now += 5.0
    pace.saw(100 + predictions)
    assert pace.alone is alone


@pytest.mark.parametrize(("seconds", "predictions"), [(0.2, -1000), (11.0, 1000)])
def test_a_new_triton_and_an_old_look_say_nothing(hands: Hands, seconds: float, predictions: int) -> None:
    pace = hands.pace(0.1)
    company(hands, pace)
    hands.now += seconds
    pace.saw(110 + predictions)
    assert pace.alone


def test_it_does_not_look_all_the_time(hands: Hands) -> None:
    pace = hands.pace(0.1)
    assert pace.due
    pace.saw(100)
    assert not pace.due
    hands.now += 0.11
    assert pace.due
