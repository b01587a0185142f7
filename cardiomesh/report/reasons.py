"""The page of reasons, below the sheet: what the published criteria say, and what the other methods found.

A page of A4 landscape in millimetres from its lower left corner, like the sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cardiomesh.cards import Urgency
from cardiomesh.report.labels import Words
from cardiomesh.report.panels import INK, MUTED, URGENCY_COLOURS, WARNING, write
from cardiomesh.report.reasons_content import ReportRow, RulesPanel, RuleState, TracedRule
from cardiomesh.report.text import fit, width_mm, wrap

__all__ = ["LEFT", "RIGHT", "Box", "draw_rules"]


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the page in millimetres."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        """Its width."""
        return self.right - self.left


#: The page below its heading, in two columns; in each one part follows the other.
LEFT: Final = Box(13.5, 12.0, 150.0, 188.0)
RIGHT: Final = Box(158.0, 12.0, 283.5, 188.0)

#: A sign beside each state: colour is never the only one.
_SIGNS: Final = {RuleState.MET: "✓", RuleState.NOT_MET: "✗", RuleState.NOT_EVALUABLE: "?"}
_COLOURS: Final = {RuleState.MET: "#0b6b2e", RuleState.NOT_MET: MUTED, RuleState.NOT_EVALUABLE: WARNING}
_AGREEMENT_COLOURS: Final = {"supports": "#0b6b2e", "contradicts": "#a3001b", "silent": MUTED}
_LINE: Final = 3.5
#: Lines of one sentence of the report.
_MOST_LINES: Final = 6
_ROW: Final = 3.7
#: Between what the rules say and what follows (mm).
_GAP: Final = 6.0
#: The same, with what a column may end below its box: its last line, the count of what is left, the space after a rule.
_FOOT: Final = _GAP + 2 * _ROW + 1.4
_INDENT: Final = 3.0
_VALUE_WIDTH: Final = 42.0


class _Pen:
    """Writes downwards in a box, and knows when it is full."""

    def __init__(self, axes: Axes, box: Box) -> None:
        self.axes, self.box, self.y = axes, box, box.top

    def room(self, millimetres: float) -> bool:
        return self.y - millimetres >= self.box.bottom

    def text(self, text: str, size: float, x: float = 0.0, **options: Any) -> None:
        write(self.axes, self.box.left + x, self.y, text, size, **options)

    def down(self, millimetres: float) -> None:
        self.y -= millimetres


def draw_rules(
    axes: Axes, panel: RulesPanel, words: Words, kept: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float]:
    """The report on the left, the trace of every rule on the explained finding on the right.

    ``kept`` millimetres at the foot of either column are left to what follows; what finds no room is counted. Returns
    where in each column that may begin.
    """
    left, right = (
        _Pen(axes, replace(box, bottom=box.bottom + (foot + _FOOT if foot else 0.0)))
        for box, foot in zip((LEFT, RIGHT), kept, strict=True)
    )
    left.text(words("rules_title"), 10, weight="bold")
    left.down(5.6)
    _draw_report(left, panel.report, words)
    _draw_agreement(right, panel, words)
    _draw_trace(right, panel.traced, words)
    return left.y - _GAP, right.y - _GAP


def _draw_report(pen: _Pen, rows: Sequence[ReportRow], words: Words) -> None:
    told = [row for row in rows if not row.aside]
    asides = [row for row in rows if row.aside]
    for index, row in enumerate([*told, *asides]):
        lines = wrap(row.text, pen.box.width - 19.0, 7 if not row.aside else 6.5, _MOST_LINES)
        last = index == len(rows) - 1
        if not pen.room((len(lines) - (1 if last else 0)) * _LINE):
            left = len(rows) - index
            pen.text(words("rules_more", count=left), 6.5, 19.0, color=MUTED)
            pen.down(_LINE)
            return
        colour = MUTED if row.aside else INK
        if not row.aside and row.urgency in (Urgency.CRITICAL, Urgency.URGENT):
            pen.text(words(row.urgency.value), 5.5, weight="bold", color=URGENCY_COLOURS[row.urgency])
        elif row.contradiction:
            pen.text(words("contradiction"), 5.5, weight="bold", color=WARNING)
        for line in lines:
            pen.text(line, 7 if not row.aside else 6.5, 19.0, color=colour)
            pen.down(_LINE)
        pen.down(0.5)


def _draw_agreement(pen: _Pen, panel: RulesPanel, words: Words) -> None:
    verdict = words(f"agreement_{panel.agreement}") if panel.agreement else ""
    room = pen.box.width - width_mm(verdict, 7.5, "bold") - 4.0
    title = words("rules_on", finding=f"{panel.finding} · {panel.name}")
    if width_mm(title, 10, "bold") > room:
        title = fit(words("rules_on", finding=panel.finding), room, 10, "bold")
    pen.text(title, 10, weight="bold")
    if panel.agreement:
        colour = _AGREEMENT_COLOURS[panel.agreement]
        write(pen.axes, pen.box.right, pen.y, verdict, 7.5, weight="bold", ha="right", color=colour)
    pen.down(5.6)


def _draw_trace(pen: _Pen, traced: Sequence[TracedRule], words: Words) -> None:
    if not traced:
        pen.text(words("no_rule"), 7.5, color=MUTED)
        pen.down(_LINE)
        return
    for index, rule in enumerate(traced):
        if not pen.room(3 * _ROW):
            pen.text(words("rules_more_rules", count=len(traced) - index), 6.5, color=MUTED)
            pen.down(_LINE)
            return
        _draw_rule(pen, rule, words)


def _draw_rule(pen: _Pen, rule: TracedRule, words: Words) -> None:
    colour = _COLOURS[rule.state]
    pen.axes.add_patch(Rectangle((pen.box.left, pen.y - 0.9), 1.0, 3.4, facecolor=colour, edgecolor="none", zorder=5))
    state = words(f"state_{rule.state.value}")
    room = pen.box.width - width_mm(state, 7, "bold") - 5.0
    size = 7.5 if width_mm(rule.name, 7.5, "bold") <= room else 6.6
    pen.text(fit(rule.name, room, size, "bold"), size, 2.5, weight="bold")
    write(pen.axes, pen.box.right, pen.y, state, 7, weight="bold", ha="right", color=colour)
    pen.down(_ROW)
    about = rule.reason or rule.source
    if about:
        pen.text(fit(about, pen.box.width - 4.0, 6), 6, 2.5, color=MUTED)
        pen.down(_ROW - 0.3)
    for index, asked in enumerate(rule.criteria):
        if not pen.room(_ROW):
            pen.text(words("rules_more", count=len(rule.criteria) - index), 6, 4.0, color=MUTED)
            pen.down(_ROW)
            break
        x = 4.0 + _INDENT * asked.depth
        colour = _COLOURS[asked.state]
        pen.text(_SIGNS[asked.state], 7, x, color=colour, weight="bold")
        pen.text(fit(asked.text, pen.box.width - x - 4.0 - _VALUE_WIDTH, 6.8), 6.8, x + 4.0)
        value = fit(asked.value, _VALUE_WIDTH, 6.8)
        write(pen.axes, pen.box.right, pen.y, value, 6.8, ha="right", color=colour)
        pen.down(_ROW)
    pen.down(1.4)
