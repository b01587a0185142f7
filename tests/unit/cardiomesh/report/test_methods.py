"""The foot of the page of reasons: bars to scale, both beats in their cells, and what is missing in words."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from cardiomesh import report
from cardiomesh.errors import InvalidRequest
from cardiomesh.report.methods import heights
from cardiomesh.report.reasons import LEFT, RIGHT


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
    assert (x >= RIGHT.left).all()
    assert (x <= RIGHT.right + 0.1).all()
    assert (y >= RIGHT.bottom).all()
    assert (y <= RIGHT.top).all()


@pytest.mark.parametrize("missing", [(), ("Grad-CAM — switched off for this model: " + "failed " * 60,)])
@pytest.mark.parametrize("bars", [0, 8])
def test_no_column_needs_more_than_it_says(bars: int, missing: tuple[str, ...]) -> None:
    rows = tuple(report.Bar(f"QRS {k}", 0.1 * k) for k in range(bars))
    lime = report.LimePanel("MI", rows, "MI rests most on: QRS. " * 20, "R² 0.90")
    moved = tuple(report.MovedRow(f"a long name {k}", "0.1 → 0.2 mV") for k in range(6))
    change = report.ChangePanel("MI", "MI would be absent. " * 20, beat(0.5), moved, "plausibility 0.2")
    shown = panel(lime=lime, change=change, missing=missing)
    figure = report.draw_sheet(sheet(shown))
    axes = figure.axes[1]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for box, height in zip((LEFT, RIGHT), heights(shown), strict=True):
        limit = axes.transData.transform((0, box.top - height))[1]
        column = [t for t in axes.texts if box.left <= t.get_position()[0] <= box.right and t.get_position()[1] > 10]
        assert min(text.get_window_extent(renderer).y0 for text in column) >= limit


def test_what_is_missing_is_said() -> None:
    axes = report.draw_sheet(sheet(panel(lime=None, change=None))).axes[1]
    words = " ".join(text.get_text() for text in axes.texts)
    assert "Not explained: Grad-CAM — switched off" in words


def test_a_beat_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\[12, m\]"):
        report.BeatChange(np.zeros((8, 100)), np.zeros((8, 100)), 100.0)
    with pytest.raises(InvalidRequest, match="finite"):
        report.BeatChange(np.full((12, 100), np.nan), np.zeros((12, 100)), 100.0)
