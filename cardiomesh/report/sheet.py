"""Draw the clinical 12-lead sheet: 3 × 4 leads and a rhythm strip, to scale on A4 landscape."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final, Literal, cast

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from cardiomesh.errors import InvalidRequest
from cardiomesh.report import layout, methods, panels, reasons
from cardiomesh.report.attribution import glow
from cardiomesh.report.content import Grade, Sheet
from cardiomesh.report.labels import Words
from cardiomesh.report.layout import (
    GRID_BOTTOM,
    GRID_HEIGHT,
    GRID_LEFT,
    GRID_RIGHT,
    GRID_TOP,
    GRID_WIDTH,
    MM_PER_SECOND,
    PAGE,
    TRACE_LEFT,
    Placement,
    Trace,
)
from cardiomesh.report.text import fit, printable, width_mm

__all__ = ["draw_sheet", "save_sheet", "sheet_bytes"]

Format = Literal["png", "svg", "pdf"]

_MM_PER_INCH: Final = 25.4
_PAPER: Final = "#fffcfb"
_FINE, _BOLD = "#f8d9d6", "#eba9a3"
_LABEL_SIZE: Final = 8.0
_TRACE_WIDTH: Final = 0.75
#: What would differ from run to run is left out of each format's metadata.
_METADATA: Final[dict[str, dict[str, Any]]] = {
    "png": {"Software": "CardioMesh", "Title": "12-lead ECG"},
    "svg": {"Date": None, "Creator": "CardioMesh", "Title": "12-lead ECG"},
    "pdf": {"CreationDate": None, "Producer": "CardioMesh", "Creator": "CardioMesh", "Title": "12-lead ECG"},
}


def draw_sheet(sheet: Sheet, dpi: float = 150) -> Figure:
    """The sheet as a figure of exactly 297 × 210 mm, twice as high with the page of reasons below it.

    Each page is one axes that counts in millimetres from its lower left corner.
    """
    words = Words(sheet.language)
    placement = layout.place(sheet)
    pages = 1 if sheet.rules is None and sheet.methods is None else 2
    figure = Figure(figsize=(PAGE[0] / _MM_PER_INCH, pages * PAGE[1] / _MM_PER_INCH), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    axes = _page(figure, 0, pages)
    _draw_grid(axes)
    if sheet.attribution is not None:
        extent = (GRID_LEFT, GRID_RIGHT, GRID_BOTTOM, GRID_TOP)
        picture = axes.imshow(glow(sheet, placement), extent=extent, aspect="auto", interpolation="bilinear", zorder=2)
        picture.set_gid("attribution")
    _draw_pulses_and_separators(axes, placement)
    _draw_traces(axes, placement)
    _draw_lead_labels(axes, sheet, placement, words)
    panels.draw_heading(axes, sheet, words)
    panels.draw_panel(axes, sheet, words)
    panels.draw_footer(axes, sheet, placement, words)
    if pages == 2:
        below = _page(figure, 1, pages)
        panels.draw_heading(below, sheet, words)
        _draw_reasons(below, sheet, words)
        panels.draw_notice(below, words)
    return figure


def _draw_reasons(axes: Axes, sheet: Sheet, words: Words) -> None:
    """Rules, and below them in either column what the other methods found."""
    left, right = reasons.LEFT.top, reasons.RIGHT.top
    feet = (0.0, 0.0) if sheet.methods is None else methods.heights(sheet.methods)
    if sheet.rules is not None:
        left, right = reasons.draw_rules(axes, sheet.rules, words, feet)
    if sheet.methods is not None:
        methods.draw_methods(axes, sheet.methods, words, (left, right))


def _page(figure: Figure, number: int, pages: int) -> Axes:
    axes = figure.add_axes((0.0, 1.0 - (number + 1) / pages, 1.0, 1.0 / pages))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    axes.set_xlim(0.0, PAGE[0])
    axes.set_ylim(0.0, PAGE[1])
    return axes


def sheet_bytes(sheet: Sheet, kind: Format = "png", dpi: float = 150) -> bytes:
    """The sheet as a file's bytes; the same sheet gives the same bytes with one version of matplotlib."""
    if kind not in _METADATA:
        raise InvalidRequest.field("format", f"{kind!r} is not one of {', '.join(_METADATA)}")
    figure = draw_sheet(sheet, dpi)
    buffer = io.BytesIO()
    if kind == "png":
        # The canvas itself, not savefig: a reader's own settings (tight boxes, resolutions) would break the scale.
        canvas: Any = figure.canvas
        canvas.print_png(buffer, metadata=_METADATA[kind], pil_kwargs={"dpi": (dpi, dpi)})
    else:
        settings: Any = {"savefig.bbox": None, "svg.hashsalt": "cardiomesh", "svg.fonttype": "path"}
        with matplotlib.rc_context(settings):
            figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
    return buffer.getvalue()


def save_sheet(sheet: Sheet, path: Path | str, dpi: float = 150) -> Path:
    """Write the sheet as PNG, SVG or PDF, by the extension of ``path``; makes its folder where there is none."""
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in _METADATA:
        raise InvalidRequest.field("path", f"must end in .png, .svg or .pdf, not {path.name!r}")
    content = sheet_bytes(sheet, cast("Format", kind), dpi)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _draw_grid(axes: Axes) -> None:
    """Lines every millimetre, stronger ones every five."""
    axes.add_patch(
        Rectangle((GRID_LEFT, GRID_BOTTOM), GRID_WIDTH, GRID_HEIGHT, facecolor=_PAPER, edgecolor="none", zorder=0)
    )
    x, y = np.arange(GRID_WIDTH + 1), np.arange(GRID_HEIGHT + 1)
    for step, colour, width in ((1, _FINE, 0.3), (5, _BOLD, 0.5)):
        xs = GRID_LEFT + x[(x % 5 == 0) == (step == 5)]
        ys = GRID_BOTTOM + y[(y % 5 == 0) == (step == 5)]
        lines = [np.array([(v, GRID_BOTTOM), (v, GRID_TOP)]) for v in xs]
        lines += [np.array([(GRID_LEFT, v), (GRID_RIGHT, v)]) for v in ys]
        grid = LineCollection(lines, colors=colour, linewidths=width, zorder=1, gid=f"grid-{step}mm")
        grid.set_snap(False)  # snapping to pixels would make the squares uneven
        axes.add_collection(grid, autolim=False)


def _draw_pulses_and_separators(axes: Axes, placement: Placement) -> None:
    """A calibration pulse of 1 mV and 200 ms before each row, and lines where one lead ends and the next begins."""
    left, pulses, separators = GRID_LEFT + 2.0, [], []
    for baseline in placement.baselines:
        top = baseline + placement.gain
        points = [(0, baseline), (3, baseline), (3, top), (8, top), (8, baseline), (11, baseline)]
        pulses.append(np.array([(left + dx, y) for dx, y in points]))
    # Full height, thin and broken: nothing that could be taken for a pacing spike.
    bottom = (placement.baselines[-2] + placement.baselines[-1]) / 2
    for column in range(1, 4):
        x = TRACE_LEFT + MM_PER_SECOND * placement.column_seconds * column
        separators.append(np.array([(x, bottom), (x, GRID_TOP)]))
    axes.add_collection(
        LineCollection(
            pulses, colors=panels.INK, linewidths=_TRACE_WIDTH, joinstyle="miter", zorder=4, gid="calibration"
        ),
        autolim=False,
    )
    axes.add_collection(
        LineCollection(
            separators, colors="#8a8a8a", linewidths=0.5, linestyles=[(0, (5, 4))], zorder=3, gid="separators"
        ),
        autolim=False,
    )


def _draw_traces(axes: Axes, placement: Placement) -> None:
    """One line per row; a break between leads."""
    for row in range(len(placement.baselines)):
        pieces = [t for t in placement.traces if t.slot.row == row and t.x.size]
        gap = np.array([np.nan])
        xs = np.concatenate([part for t in pieces for part in (t.x, gap)] or [gap])
        ys = np.concatenate([part for t in pieces for part in (t.y, gap)] or [gap])
        (line,) = axes.plot(
            xs, ys, color=panels.INK, linewidth=_TRACE_WIDTH, solid_joinstyle="round", zorder=4, gid=f"trace-{row}"
        )
        line.set_clip_on(True)


def _draw_lead_labels(axes: Axes, sheet: Sheet, placement: Placement, words: Words) -> None:
    halo = [withStroke(linewidth=2.0, foreground=_PAPER)]
    for trace in placement.traces:
        slot = trace.slot
        x = TRACE_LEFT + MM_PER_SECOND * slot.start + 1.2
        baseline = placement.baselines[slot.row]
        if not trace.x.size:
            panels.write(axes, x, baseline + 6.0, slot.lead, _LABEL_SIZE, weight="bold", path_effects=halo)
            middle = TRACE_LEFT + MM_PER_SECOND * (slot.start + slot.stop) / 2
            absent, style = words("not_recorded"), {"color": panels.MUTED, "path_effects": halo}
            panels.write(axes, middle, baseline - 0.8, absent, 7, ha="center", **style)
            continue
        label_width = width_mm(slot.lead, _LABEL_SIZE, "bold")
        quality = sheet.quality.of(slot.lead) if sheet.quality else None
        note = ""
        if quality is not None and quality.grade in (Grade.C, Grade.REJECT):
            room = MM_PER_SECOND * (slot.stop - slot.start) - label_width - 6.0
            reasons = ", ".join(quality.reasons) or words(
                "grade_reject" if quality.grade is Grade.REJECT else "grade", grade=quality.grade.value
            )
            note = fit(printable(reasons), min(room, 40.0), 6)
        width = label_width + (width_mm(note, 6) + 1.5 if note else 0.0)
        room = MM_PER_SECOND * (slot.stop - slot.start) - width - 4.0
        x, y = _free_place(placement.traces, x, width, min(room, 15.0), baseline)
        panels.write(axes, x, y, slot.lead, _LABEL_SIZE, weight="bold", path_effects=halo)
        if note:
            panels.write(axes, x + label_width + 1.5, y, note, 6, color=panels.WARNING, path_effects=halo)


def _free_place(traces: tuple[Trace, ...], x: float, width: float, room: float, baseline: float) -> tuple[float, float]:
    """Where a label of ``width`` mm meets no trace: 6 mm above ``baseline`` at ``x``, or as near to that as may be.

    Above, up to ``room`` mm further right, goes before below.
    """
    above, nearer, below = np.arange(6.0, 11.1, 0.5), np.arange(5.5, 1.4, -0.5), np.arange(-4.5, -11.1, -0.5)
    for heights in (np.concatenate([above, nearer]), below):
        for shift in np.arange(0.0, max(room, 0.0) + 0.1, 2.5):
            y = _free_height(traces, x + shift - 0.5, x + shift + width + 0.5, baseline + heights)
            if y is not None:
                return float(x + shift), y
    return x, baseline + 6.0


def _free_height(
    traces: tuple[Trace, ...], left: float, right: float, candidates: npt.NDArray[np.float64]
) -> float | None:
    """The first of the text baselines that no trace crosses between ``left`` and ``right``."""
    lows, highs = [], []
    for trace in traces:
        near = np.flatnonzero((trace.x >= left) & (trace.x <= right) & ~np.isnan(trace.y))
        if near.size:
            y = trace.y[max(near[0] - 1, 0) : near[-1] + 2]
            lows.append(np.fmin(y[:-1], y[1:]))
            highs.append(np.fmax(y[:-1], y[1:]))
    low, high = (np.concatenate(part) if part else np.empty(0) for part in (lows, highs))
    height = 2.3  # of a capital at the label's size, with a little air
    candidates = candidates[(candidates > GRID_BOTTOM + 0.5) & (candidates + height < GRID_TOP - 0.5)]
    for candidate in candidates:
        if not np.any((high > candidate - 1.4) & (low < candidate + height + 0.6)):
            return float(candidate)
    return None
