"""The glow lies where the influence is, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cardiomesh.report import Attribution, Sheet
from cardiomesh.report import layout as page
from cardiomesh.report.attribution import COLOUR, FLOOR, MAX_ALPHA, glow, lead_shares, opacity
from cardiomesh.report.layout import place


def _alpha(sheet: Sheet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The glow's opacity and the millimetres of its columns and rows."""
    alpha = glow(sheet, place(sheet))[..., 3] / 255
    height, width = alpha.shape
    x = page.GRID_LEFT + (np.arange(width) + 0.5) * page.GRID_WIDTH / width
    y = page.GRID_TOP - (np.arange(height) + 0.5) * page.GRID_HEIGHT / height
    return alpha, x, y


def test_glow_follows_the_trace_of_the_lead_and_instant(ecg: Callable[..., Any], attribution: Attribution) -> None:
    sheet = Sheet(ecg(), 500.0, attribution=attribution)
    alpha, x, y = _alpha(sheet)
    rows, columns = np.nonzero(alpha)
    seconds = (x[columns] - page.TRACE_LEFT) / page.MM_PER_SECOND
    assert seconds.min() > 5.7
    assert seconds.max() < 6.3
    baseline = place(sheet).baselines[1]
    assert abs(y[rows] - baseline).max() < 4.0  # around 6.0 s the trace lies on its baseline
    assert alpha.max() == pytest.approx(MAX_ALPHA, abs=0.01)


def test_start_and_rate_move_the_glow_in_time(ecg: Callable[..., Any], attribution: Attribution) -> None:
    moved = replace(attribution, start=0.5)
    slower = Attribution(attribution.values[:, ::2], 50.0, "x")
    for given, centre in ((moved, 6.5), (slower, 6.0)):
        alpha, x, _ = _alpha(Sheet(ecg(), 500.0, attribution=given))
        weight = alpha.sum(axis=0)
        seconds = (x - page.TRACE_LEFT) / page.MM_PER_SECOND
        assert float((seconds * weight).sum() / weight.sum()) == pytest.approx(centre, abs=0.03)


def test_lead_ii_also_glows_on_the_strip(ecg: Callable[..., Any]) -> None:
    values = np.zeros((12, 1000))
    values[1, 800:820] = 1.0  # outside lead II's own column, so on the strip alone
    sheet = Sheet(ecg(), 500.0, attribution=Attribution(values, 100.0, "x"))
    alpha, _, y = _alpha(sheet)
    rows = np.nonzero(alpha)[0]
    assert rows.size
    assert abs(y[rows] - place(sheet).baselines[3]).max() < 5.0


def test_weak_values_vanish_and_one_spike_does_not_pale_the_rest() -> None:
    values = np.zeros((12, 1000))
    values[:6] = 1.0
    values[6] = 0.9 * FLOOR
    values[11, 500] = 1e6
    drawn = opacity(Attribution(values, 10.0, "x"))  # at 10 Hz the smoothing is shorter than a sample
    assert (drawn[:6] == 1.0).all()
    assert (drawn[6] == 0.0).all()
    assert drawn[11, 500] == 1.0


def test_opacity_is_linear_above_the_floor() -> None:
    values = np.zeros((12, 400))
    values[0] = np.linspace(0, 1, 400)
    values[1:] = 1.0
    drawn = opacity(Attribution(values, 1.0, "x"))[0]
    expected = np.clip((values[0] - FLOOR) / (1 - FLOOR), 0, 1)
    np.testing.assert_allclose(drawn, expected, atol=1e-12)


def test_equal_steps_of_influence_look_like_equal_steps() -> None:
    """CIE L* of the colour over white paper falls evenly from step to step."""
    alphas = np.linspace(0.0, MAX_ALPHA, 9)[:, None]
    srgb = 1.0 - alphas * (1.0 - np.array(COLOUR))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ np.array([0.2126, 0.7152, 0.0722])) - 16
    steps = -np.diff(lightness)
    assert (steps > 2.0).all()
    assert steps.max() / steps.min() < 1.25


def test_meaning_decides_about_negative_values() -> None:
    values = np.zeros((12, 100))
    values[0], values[1] = -1.0, 0.5
    magnitude = Attribution(values, 10.0, "x")
    assert opacity(magnitude)[0].max() == 1.0
    support = replace(magnitude, meaning="support")
    assert opacity(support)[0].max() == 0.0
    assert opacity(support)[1].max() == 1.0


def test_no_influence_draws_nothing(ecg: Callable[..., Any]) -> None:
    sheet = Sheet(ecg(), 500.0, attribution=Attribution(np.zeros((12, 1000)), 100.0, "x"))
    assert glow(sheet, place(sheet))[..., 3].max() == 0
    assert sheet.attribution is not None
    assert lead_shares(sheet, sheet.attribution) == []


def test_shares_are_of_the_recorded_leads(ecg: Callable[..., Any]) -> None:
    signal = ecg()
    signal[0] = np.nan
    values = np.zeros((12, 100))
    values[0], values[6], values[7] = 5.0, 3.0, -1.0
    sheet = Sheet(signal, 500.0, attribution=Attribution(values, 10.0, "x"))
    assert sheet.attribution is not None
    assert lead_shares(sheet, sheet.attribution)[:2] == [("V1", 0.75), ("V2", 0.25)]
