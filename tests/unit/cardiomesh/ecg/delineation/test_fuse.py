"""The rule that makes one onset and one offset of twelve."""

from __future__ import annotations

import numpy as np
import pytest

from cardiomesh.ecg.delineation.fuse import fused


def test_a_wave_has_begun_when_four_of_twelve_leads_say_so() -> None:
    onset = np.arange(100.0, 112.0)[:, None]
    offset = np.arange(200.0, 212.0)[:, None]
    marks = fused(onset, offset)
    assert marks.onset[0] == 103.0
    assert marks.offset[0] == 208.0


def test_three_leads_gone_astray_change_nothing() -> None:
    onset, offset = np.full((12, 1), 100.0), np.full((12, 1), 200.0)
    onset[:3], offset[:3] = 10.0, 900.0
    marks = fused(onset, offset)
    assert (marks.onset[0], marks.offset[0]) == (100.0, 200.0)


@pytest.mark.parametrize("shown", [0, 1, 4])
def test_leads_without_the_wave_have_no_say(shown: int) -> None:
    onset, offset = np.full((12, 1), np.nan), np.full((12, 1), np.nan)
    onset[:shown], offset[:shown] = 50.0, 60.0
    marks = fused(onset, offset)
    if shown:
        assert (marks.onset[0], marks.offset[0]) == (50.0, 60.0)
    else:
        assert np.isnan(marks.onset[0])
        assert np.isnan(marks.offset[0])


def test_fewer_leads_than_asked_for_give_nothing() -> None:
    marks = fused(np.full((3, 2), 1.0), np.full((3, 2), 2.0), least=4)
    assert np.isnan(marks.onset).all()
