"""The choice of gain and baselines, and what each slot shows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cardiomesh.report import Grade, LeadQuality, Sheet, SheetQuality
from cardiomesh.report import layout as page
from cardiomesh.report.layout import place


def _trace(placement: page.Placement, lead: str, row: int | None = None) -> page.Trace:
    return next(t for t in placement.traces if t.slot.lead == lead and row in (None, t.slot.row))


def test_columns_show_the_same_2_5_seconds_of_their_leads_and_the_strip_all_ten(ecg: Callable[..., Any]) -> None:
    placement = place(Sheet(ecg(), 500.0))
    for column, leads in enumerate((("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))):
        for row, lead in enumerate(leads):
            slot = _trace(placement, lead, row).slot
            assert (slot.row, slot.start, slot.stop) == (row, 2.5 * column, 2.5 * (column + 1))
    strip = placement.traces[-1]
    assert (strip.slot.lead, strip.slot.row, strip.slot.start, strip.slot.stop) == ("II", 3, 0.0, 10.0)
    assert strip.x.size == 5000


def test_curves_are_the_samples_themselves(ecg: Callable[..., Any]) -> None:
    signal = ecg() * np.arange(1, 13)[:, None] / 12
    sheet = Sheet(signal, 500.0)
    placement = place(sheet)
    trace = _trace(placement, "V2")
    assert trace.slot.start == 5.0
    lead = sheet.lead("V2")
    assert lead is not None
    np.testing.assert_allclose((trace.y - placement.baselines[1]) / placement.gain, lead[2500:3750])
    np.testing.assert_allclose((trace.x - page.TRACE_LEFT) / page.MM_PER_SECOND, np.arange(2500, 3750) / 500)


@pytest.mark.parametrize(("peak", "gain"), [(1.0, 10.0), (3.0, 5.0), (6.0, 2.5)])
def test_gain_falls_only_as_far_as_amplitudes_need(ecg: Callable[..., Any], peak: float, gain: float) -> None:
    placement = place(Sheet(ecg(peak=peak), 500.0))
    assert placement.gain == gain
    assert placement.clipped == ()


@pytest.mark.parametrize("seed", range(8))
def test_traces_keep_clear_of_each_other_and_stay_on_the_paper(ecg: Callable[..., Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    signal = ecg() * rng.uniform(-3, 3, (12, 1)) + 0.02 * rng.standard_normal((12, 5000))
    placement = place(Sheet(signal, 500.0))
    rows = [np.concatenate([t.y for t in placement.traces if t.slot.row == row]) for row in range(4)]
    for above, below in pairwise(rows):
        assert (above > below).all()
    assert rows[0].max() < page.GRID_TOP
    assert rows[3].min() > page.GRID_BOTTOM
    assert all((b - page.GRID_BOTTOM) % 1 == 0 for b in placement.baselines)


def test_amplitudes_no_gain_can_hold_are_clipped_and_named(ecg: Callable[..., Any]) -> None:
    signal = ecg()
    signal[9] *= 60.0
    placement = place(Sheet(signal, 500.0))
    assert placement.gain == 2.5
    assert placement.clipped == ("V4",)
    assert _trace(placement, "V4").y.max() <= page.GRID_TOP


def test_an_unfit_lead_has_no_say_in_the_gain(ecg: Callable[..., Any]) -> None:
    signal = ecg()
    signal[8] *= 20.0
    assert place(Sheet(signal, 500.0)).gain < 10.0
    quality = SheetQuality(Grade.C, 0.5, (LeadQuality("V3", Grade.REJECT, ("spikes",)),))
    placement = place(Sheet(signal, 500.0, quality=quality))
    assert placement.gain == 10.0
    assert placement.clipped == ("V3",)
    low, high = placement.baselines[3], placement.baselines[1]
    y = _trace(placement, "V3").y
    assert low < y.min()
    assert y.max() < high


def test_eight_seconds_give_every_lead_two(ecg: Callable[..., Any]) -> None:
    placement = place(Sheet(ecg(8.0), 500.0))
    assert (placement.column_seconds, placement.shown_seconds) == (2.0, 8.0)
    assert [t.x.size for t in placement.traces] == [1000] * 12 + [4000]


def test_fifteen_seconds_show_the_first_ten(ecg: Callable[..., Any]) -> None:
    signal = ecg(15.0)
    signal[:, 5000:] += 50.0
    placement = place(Sheet(signal, 500.0))
    assert placement.shown_seconds == 10.0
    assert placement.traces[-1].x.max() < page.TRACE_LEFT + 250.0


@pytest.mark.parametrize("rate", [100.0, 128.0, 257.3, 1000.0])
def test_any_rate_keeps_the_paper_speed(ecg: Callable[..., Any], rate: float) -> None:
    strip = place(Sheet(ecg(10.0, rate), rate)).traces[-1]
    np.testing.assert_allclose(np.diff(strip.x), page.MM_PER_SECOND / rate)
    assert strip.x[0] == page.TRACE_LEFT


def test_missing_leads_leave_their_slot_empty_and_the_strip_takes_another(ecg: Callable[..., Any]) -> None:
    signal = ecg()[:10]
    leads = ("I", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5")
    placement = place(Sheet(signal, 500.0, leads=leads))
    assert _trace(placement, "II").x.size == 0
    assert _trace(placement, "V6").x.size == 0
    assert placement.traces[-1].slot.lead == "V1"
    assert placement.traces[-1].x.size == 5000


def test_gaps_in_a_lead_stay_gaps(ecg: Callable[..., Any]) -> None:
    signal = ecg()
    signal[0, 100:200] = np.nan
    y = _trace(place(Sheet(signal, 500.0)), "I").y
    assert np.flatnonzero(np.isnan(y)).tolist() == list(range(100, 200))
