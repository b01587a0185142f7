"""The foot of the page of reasons: what the model rests on, and what would have to be different."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.report.labels import Words
from cardiomesh.report.layout import MM_PER_SECOND, ROWS
from cardiomesh.report.methods_content import BeatChange, ChangePanel, LimePanel, MethodsPanel
from cardiomesh.report.panels import FAINT, INK, MUTED, WARNING, write
from cardiomesh.report.reasons import LEFT, RIGHT, Box
from cardiomesh.report.text import fit, wrap

__all__ = ["draw_methods", "heights"]

Array = npt.NDArray[np.float64]

#: The two sides of every comparison; told apart by sign and side as well as by colour.
FOR: Final = "#1f5fa8"
AGAINST: Final = "#b0641e"
_BARS: Final = 8
_BAR_ROW: Final = 4.4
_LABEL_WIDTH: Final = 50.0
_VALUE_WIDTH: Final = 12.0
#: One lead's place in the picture of the beat: width, height (mm).
_CELL: Final = (31.0, 16.0)
#: A gain that lets the largest deflection fit its cell (mm/mV), the first that does.
_GAINS: Final = (10.0, 5.0, 2.5)
_MOVED: Final = 6
_MISSING_LINES: Final = 6
_MISSING_LINE: Final = 3.0
#: What stands around the bars; around the beat; and the beat itself (mm).
_LIME_HEIGHT: Final = 32.0
_CHANGE_HEIGHT: Final = 16.0
_BEAT_HEIGHT: Final = 66.0
#: The picture of the beat begins here (s), so that the T wave still fits.
_FROM_SECONDS: Final = 0.1


def heights(panel: MethodsPanel) -> tuple[float, float]:
    """The most millimetres that each column may need."""
    lime = _LIME_HEIGHT + _BAR_ROW * len(panel.lime.bars[:_BARS]) if panel.lime else 0.0
    missing = _MISSING_LINES * _MISSING_LINE if panel.missing else 0.0
    beat = _BEAT_HEIGHT if panel.change and panel.change.beat is not None else 0.0
    change = _CHANGE_HEIGHT + beat if panel.change else 0.0
    return lime + missing, change


def draw_methods(
    axes: Axes, panel: MethodsPanel, words: Words, tops: tuple[float, float] = (LEFT.top, RIGHT.top)
) -> None:
    """Bars and what is missing on the left, the beat on the right, each from its column's top downwards."""
    left, right = replace(LEFT, top=tops[0]), replace(RIGHT, top=tops[1])
    y = left.top
    if panel.lime is not None:
        y = _draw_lime(axes, left, panel.lime, words) - 4.0
    if panel.missing:
        _draw_missing(axes, left, panel.missing, words, y)
    if panel.change is not None:
        _draw_change(axes, right, panel.change, words)


def _title(axes: Axes, box: Box, text: str, y: float) -> float:
    write(axes, box.left, y, fit(text, box.width, 9, "bold"), 9, weight="bold")
    axes.plot([box.left, box.right], [y - 1.8, y - 1.8], color=FAINT, linewidth=0.6)
    return y - 5.6


def _paragraph(axes: Axes, box: Box, text: str, y: float, size: float, lines: int, colour: str = INK) -> float:
    for line in wrap(text, box.width, size, lines) if text else []:
        write(axes, box.left, y, line, size, color=colour)
        y -= 3.3
    return y


def _draw_lime(axes: Axes, box: Box, panel: LimePanel, words: Words) -> float:
    y = _title(axes, box, words("lime_title", finding=panel.finding), box.top)
    y = _paragraph(axes, box, panel.summary, y, 7, 2) - 0.6
    bars = panel.bars[:_BARS]
    largest = max((abs(bar.weight) for bar in bars), default=0.0) or 1.0
    left = box.left + _LABEL_WIDTH + _VALUE_WIDTH
    middle, half = (left + box.right) / 2, (box.right - left) / 2
    write(axes, middle + 1.0, y, words("speaks_for"), 6, color=FOR)
    write(axes, middle - 1.0, y, words("speaks_against"), 6, color=AGAINST, ha="right")
    top = y - 1.4
    for bar in bars:
        y -= _BAR_ROW
        write(axes, box.left, y, fit(bar.label, _LABEL_WIDTH - 2.0, 7), 7)
        sign = "+" if bar.weight > 0 else "−"
        write(axes, left - 2.0, y, sign + words.fixed(abs(bar.weight), 2), 7, ha="right")
        length = half * bar.weight / largest
        colour = FOR if bar.weight > 0 else AGAINST
        axes.add_patch(
            Rectangle((middle, y - 0.6), length, 3.0, facecolor=colour, edgecolor="none", zorder=5, gid="lime-bar")
        )
    axes.plot([middle, middle], [top, y - 1.4], color=MUTED, linewidth=0.6)
    y = _paragraph(axes, box, words("lime_key"), y - 4.6, 6, 1, MUTED)
    return _paragraph(axes, box, panel.trust, y, 6, 1, WARNING if panel.poor else MUTED)


def _draw_change(axes: Axes, box: Box, panel: ChangePanel, words: Words) -> None:
    y = _title(axes, box, words("change_title", finding=panel.finding), box.top)
    y = _paragraph(axes, box, panel.summary, y, 7, 2)
    if panel.beat is None:
        _paragraph(axes, box, panel.trust, y, 6, 1, MUTED)
        return
    gain = _gain(panel.beat)
    y = _draw_beats(axes, box, panel.beat, gain, y - 1.0)
    key = words("change_key", speed=words.number(2 * MM_PER_SECOND), gain=words.number(gain))
    y = _paragraph(axes, box, key, y - 3.2, 6, 1, MUTED)
    items = "; ".join(f"{row.name} {row.values}" for row in panel.moved[:_MOVED])
    y = _paragraph(axes, box, words("moved", items=items) if items else words("moved_nothing"), y - 0.2, 6.8, 2)
    _paragraph(axes, box, panel.trust, y, 6, 1, MUTED)


def _gain(beat: BeatChange) -> float:
    """The largest gain at which every lead, recorded and changed, keeps to its cell."""
    both = np.stack([beat.before, beat.after])
    span = float((both.max(axis=(0, 2)) - both.min(axis=(0, 2))).max())
    return next((gain for gain in _GAINS if span * gain <= _CELL[1] - 2.0), _GAINS[-1])


def _draw_beats(axes: Axes, box: Box, beat: BeatChange, gain: float, top: float) -> float:
    """Leads in the order of the sheet; each on its own grid of 5 mm at twice the paper speed."""
    width, height = _CELL
    # The P wave to the end of the T wave of most hearts: 0.62 s, the beat position at 0.36 s of the beat.
    first = round(_FROM_SECONDS * beat.sampling_rate)
    last = first + int(width / (2 * MM_PER_SECOND) * beat.sampling_rate) + 1
    at_zero = np.arange(last - first) / beat.sampling_rate * 2 * MM_PER_SECOND
    for row, leads in enumerate(ROWS):
        for column, lead in enumerate(leads):
            x, y = box.left + column * (width + 0.5), top - (row + 1) * (height + 0.5)
            _draw_cell(axes, x, y)
            k = STANDARD_LEADS.index(lead)
            before, after = (np.asarray(b[k, first:last], np.float64) for b in (beat.before, beat.after))
            both = np.concatenate([before, after])
            zero = y + height / 2 - gain * (both.max() + both.min()) / 2
            for values, colour, style in ((before, INK, "-"), (after, FOR, (0, (3, 1.2)))):
                heights = np.clip(zero + gain * values, y + 0.3, y + height - 0.3)
                axes.plot(x + at_zero[: len(values)], heights, color=colour, lw=0.8, linestyle=style, zorder=5)
            write(axes, x + 0.8, y + height - 2.8, lead, 6.5, weight="bold")
    return top - len(ROWS) * (height + 0.5)


def _draw_cell(axes: Axes, x: float, y: float) -> None:
    width, height = _CELL
    lines = [np.array([(x + s, y), (x + s, y + height)]) for s in np.arange(0.0, width + 0.1, 5.0)]
    lines += [np.array([(x, y + s), (x + width, y + s)]) for s in np.arange(0.0, height + 0.1, 5.0)]
    axes.add_collection(LineCollection(lines, colors="#f3cfcb", linewidths=0.35, zorder=1), autolim=False)


def _draw_missing(axes: Axes, box: Box, missing: tuple[str, ...], words: Words, y: float) -> None:
    text = f"{words('not_explained')}: " + "; ".join(missing)
    for line in wrap(text, box.width, 6.3, max(1, min(_MISSING_LINES, int((y - box.bottom) / _MISSING_LINE)))):
        write(axes, box.left, y, line, 6.3, color=WARNING)
        y -= _MISSING_LINE
