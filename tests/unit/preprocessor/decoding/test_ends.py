"""What is cut from the ends of a recording, and what is left."""

from __future__ import annotations

import numpy as np
import pytest

from preprocessor.decoding.ends import filler_span, missing_span
from tests.unit.preprocessor.recordings import heart

RATE = 500.0


def test_a_recording_that_is_signal_is_left_whole() -> None:
    x = heart() * 1e-3
    assert filler_span(x, RATE) == (0, 5000)
    assert missing_span(x) == (0, 5000)


def test_zeros_and_a_pulse_in_all_leads_are_cut() -> None:
    x = heart() * 1e-3
    x[:, 4700:] = 0
    x[:, 4800:4900] = 1.0
    x[:, :300] = -4.096
    assert filler_span(x, RATE) == (300, 4700)


def test_a_few_equal_samples_are_chance() -> None:
    x = heart() * 1e-3
    x[:, :49], x[:, -49:] = 0, 0
    assert filler_span(x, RATE) == (0, 5000)


def test_a_second_in_which_no_lead_moves_is_cut() -> None:
    x = heart() * 1e-3
    x[:, 4400:] = x[:, 4399:4400]
    assert filler_span(x, RATE) == (0, 4400)
    x[:, 4800:4805] += 1.0  # less than a second at rest, now
    assert filler_span(x, RATE) == (0, 5000)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_what_is_nothing_but_filler_is_left_for_the_grades_to_refuse(value: float) -> None:
    assert filler_span(np.full((12, 5000), value), RATE) == (0, 5000)
    assert filler_span(np.arange(12.0)[:, None] * np.ones((12, 5000)), RATE) == (0, 5000)


def test_flat_leads_beside_living_ones_are_left() -> None:
    x = heart() * 1e-3
    x[6:] = 0
    assert filler_span(x, RATE) == (0, 5000)


def test_too_few_leads_or_no_samples_say_nothing() -> None:
    assert filler_span(np.zeros((2, 5000)), RATE) == (0, 5000)
    assert filler_span(np.zeros((12, 0)), RATE) == (0, 0)
    assert missing_span(np.zeros((0, 10))) == (0, 10)


def test_missing_ends_are_cut_and_holes_are_kept() -> None:
    x = heart() * 1e-3
    x[:, :10], x[:, 4990:], x[3, 200] = np.nan, np.nan, np.nan
    assert missing_span(x) == (10, 4990)
    assert filler_span(x[:, 10:4990], RATE) == (0, 4980)
