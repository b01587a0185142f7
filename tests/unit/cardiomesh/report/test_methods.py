"""The lower half of the page of reasons: bars to scale, both beats in their cells, and what is missing in words."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from cardiomesh import report
from cardiomesh.errors import InvalidRequest
from cardiomesh.report.reasons import LOWER_RIGHT


def beat(change: float) -> report.BeatChange:
    before = np.sin(np.linspace(0, 12, 1200)).reshape(12, 100)
    return report.BeatChange(before, before * change, 100.0)


def sheet(panel: report.MethodsPanel) -> report.Sheet:
    return report.Sheet(signal=np.zeros((12, 5000)) + np.sin(np.arange(5000)), sampling_rate=500.0, methods=panel)


def panel(**changes: object) -> report.MethodsPanel:
    bars = (report.Bar("QRS V1, V2", 0.8), report.Bar("T wave V5, V6", -0.4))
    facts = {
        "lime": report.LimePanel("MI", bars, "MI rests most on: QRS.", "R² 0.90"),
        "change": report.ChangePanel("MI", "MI would be absent.", beat(0.5), (), "plausibility 0.2"),
        "missing": ("Grad-CAM — switched off",),
    }
    return report.MethodsPanel(**{**facts, **changes})


def test_bars_are_to_scale_on_their_own_sides() -> None:
    axes = report.draw_sheet(sheet(panel())).axes[1]
    bars = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_gid() == "lime-bar"]
    assert [round(bar.get_width() / bars[0].get_width(), 6) for bar in bars] == [1.0, -0.5]
    assert bars[0].get_x() == bars[1].get_x()


def test_beats_keep_to_their_cells_whatever_their_size() -> None:
    axes = report.draw_sheet(sheet(panel(change=report.ChangePanel("MI", "", beat(-40.0), (), "")))).axes[1]
    beats = [line for line in axes.lines if len(line.get_xdata()) > 10]
    assert len(beats) == 24
    x = np.concatenate([line.get_xdata() for line in beats])
    y = np.concatenate([line.get_ydata() for line in beats])
    assert (x >= LOWER_RIGHT.left).all()
    assert (x <= LOWER_RIGHT.right + 0.1).all()
    assert (y >= LOWER_RIGHT.bottom).all()
    assert (y <= LOWER_RIGHT.top).all()


def test_what_is_missing_is_said() -> None:
    axes = report.draw_sheet(sheet(panel(lime=None, change=None))).axes[1]
    words = " ".join(text.get_text() for text in axes.texts)
    assert "Not explained: Grad-CAM — switched off" in words


def test_a_beat_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\[12, m\]"):
        report.BeatChange(np.zeros((8, 100)), np.zeros((8, 100)), 100.0)
    with pytest.raises(InvalidRequest, match="finite"):
        report.BeatChange(np.full((12, 100), np.nan), np.zeros((12, 100)), 100.0)
