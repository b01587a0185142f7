"""The words around the traces: heading, findings, signal quality, explanation, footer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from cardiomesh.cards import Urgency
from cardiomesh.report.attribution import COLOUR, FLOOR, MAX_ALPHA, lead_shares
from cardiomesh.report.content import Grade, Sheet, SheetDecision, SheetFinding
from cardiomesh.report.labels import Words
from cardiomesh.report.layout import GRID_BOTTOM, GRID_LEFT, GRID_RIGHT, MM_PER_SECOND, PAGE, Placement
from cardiomesh.report.text import Weight, fit, font, printable, width_mm, wrap

__all__ = [
    "FAINT",
    "INK",
    "MUTED",
    "URGENCY_COLOURS",
    "WARNING",
    "draw_footer",
    "draw_heading",
    "draw_notice",
    "draw_panel",
    "write",
]

INK: Final = "#1a1a1a"
MUTED: Final = "#5c5c5c"
FAINT: Final = "#c9c9c9"
WARNING: Final = "#8a4b00"
ALARM: Final = "#a3001b"
BAR: Final = "#4a5a6a"

#: Ordered by how soon a human must look; colour is never the only sign, the word stands beside it.
URGENCY_COLOURS: Final = {Urgency.CRITICAL: ALARM, Urgency.URGENT: WARNING, Urgency.ROUTINE: BAR, Urgency.NONE: BAR}
_ORDER: Final = list(URGENCY_COLOURS)

HEADING_BASE: Final = 201.6
RULE: Final = 195.2
PANEL_TOP: Final = 191.0
_LISTED: Final = 8
_ROW: Final = 6.0
_FINDING_COLUMN: Final = 92.0
_SIDE_LEFT: Final = GRID_LEFT + 2 * _FINDING_COLUMN + 4.0
_SIDE_WIDTH: Final = GRID_RIGHT - _SIDE_LEFT


def write(axes: Axes, x: float, y: float, text: str, size: float, **options: Any) -> None:
    """One line of text with its baseline at (x, y) mm; never read as mathematics."""
    weight: Weight = options.pop("weight", "normal")
    options.setdefault("color", INK)
    axes.text(
        x, y, printable(text), fontproperties=font(size, weight), va="baseline", parse_math=False, zorder=6, **options
    )


def _join(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)


def draw_heading(axes: Axes, sheet: Sheet, words: Words) -> None:
    """Two lines: what was recorded on the left, what answered on the right."""
    heading, model = sheet.heading, sheet.model
    width = GRID_RIGHT - GRID_LEFT
    name = fit(words("model", name=model.name, version=model.version), width / 2, 8, "bold") if model else ""
    left_width = width - width_mm(name, 8, "bold") - 8.0
    measured = fit(heading.measurements, left_width * 0.6, 8)
    room = left_width - (width_mm(measured, 8) + 6.0 if measured else 0.0)
    title = fit(_join([words("title"), heading.title]), room, 11, "bold")
    write(axes, GRID_LEFT, HEADING_BASE, title, 11, weight="bold")
    write(axes, GRID_LEFT + width_mm(title, 11, "bold") + 6.0, HEADING_BASE, measured, 8)
    age = ""
    if heading.age_years is not None:
        age = words("age_89") if heading.age_years >= 89 else words("age", years=heading.age_years)
    facts = _join(
        [
            words(heading.sex) if heading.sex else "",
            age,
            f"{heading.acquired_at:%Y-%m-%d %H:%M}" if heading.acquired_at else "",
            f"{words.number(sheet.sampling_rate)} Hz",
            f"{words.number(sheet.duration)} s",
            heading.device,
        ]
    )
    source = ""
    if model is not None:
        write(axes, GRID_RIGHT, HEADING_BASE, name, 8, weight="bold", ha="right")
        preprocessing = words("preprocessing", version=model.preprocessing_version)
        source = _join(
            [preprocessing if model.preprocessing_version else "", words("cached") if sheet.from_cache else ""]
        )
        source = fit(source, width / 2, 7)
        write(axes, GRID_RIGHT, HEADING_BASE - 4.4, source, 7, ha="right", color=MUTED)
    facts = fit(facts, width - width_mm(source, 7) - 8.0, 7.5)
    write(axes, GRID_LEFT, HEADING_BASE - 4.4, facts, 7.5, color=MUTED)
    axes.plot([GRID_LEFT, GRID_RIGHT], [RULE, RULE], color=FAINT, linewidth=0.6)


def draw_panel(axes: Axes, sheet: Sheet, words: Words) -> None:
    """Findings on the left, signal quality and the key of the overlay on the right."""
    _draw_findings(axes, sheet.findings, sheet.decision or SheetDecision(), words)
    below = _draw_quality(axes, sheet, words)
    if sheet.attribution is not None:
        _draw_explanation(axes, sheet, words, below - 2.2)


def _draw_findings(axes: Axes, findings: Sequence[SheetFinding], decision: SheetDecision, words: Words) -> None:
    write(axes, GRID_LEFT, PANEL_TOP, words("findings"), 8, weight="bold")
    if not findings:
        write(axes, GRID_LEFT, PANEL_TOP - 5.5, words("no_findings"), 7.5, color=MUTED)
        return
    key_x = GRID_LEFT + 2 * _FINDING_COLUMN - 6.0
    uncertain = any(f.present and f.uncertain for f in findings)
    key = _join([words("bar_key"), words("uncertain_key") if uncertain else ""])
    notes = [words("shifted", items="; ".join(decision.shifts)) if decision.shifts else ""]
    if decision.critical or decision.reasons:  # they have the key's place
        _draw_over_read(axes, decision, words, key_x)
        notes.insert(0, key)
    else:
        write(axes, key_x, PANEL_TOP, key, 6, color=MUTED, ha="right")
    order = {code: place for place, code in enumerate(decision.order)}
    present = sorted(
        (f for f in findings if f.present),
        key=lambda f: (order.get(f.code, len(order)), _ORDER.index(f.urgency), -f.probability, f.code),
    )
    listed, further = present[:_LISTED], present[_LISTED:]
    rows = min(len(listed), _LISTED // 2)
    bars: list[tuple[Rectangle, str]] = []
    for i, finding in enumerate(listed):
        column, row = divmod(i, _LISTED // 2)
        bars += _draw_finding(axes, GRID_LEFT + column * _FINDING_COLUMN, PANEL_TOP - 4.9 - row * _ROW, finding, words)
    if bars:
        axes.add_collection(
            PatchCollection([bar for bar, _ in bars], facecolors=[c for _, c in bars], edgecolors="none", zorder=5),
            autolim=False,
        )
    y = PANEL_TOP - 4.9 - rows * _ROW - 0.4
    if not listed:
        write(axes, GRID_LEFT, y, words("none_present"), 8)
        y -= 5.0
    width = 2 * _FINDING_COLUMN - 6.0
    if further:
        items = ", ".join(f"{f.code} {words.percent(f.probability)}" for f in further)
        write(axes, GRID_LEFT, y, fit(words("also_present", items=items), width, 6.5), 6.5, color=INK)
        y -= 3.4
    absent = [f for f in findings if not f.present]
    if absent:
        nearest = sorted(absent, key=lambda f: (f.probability - f.threshold, f.code))[::-1][:4]
        items = ", ".join(
            words("of_threshold", code=f.code, value=words.percent(f.probability), threshold=words.percent(f.threshold))
            for f in nearest
        )
        write(axes, GRID_LEFT, y, fit(words("below", count=len(absent), items=items), width, 6.5), 6.5, color=MUTED)
        y -= 3.4
    if any(notes):
        write(axes, GRID_LEFT, y, fit(_join(notes), width, 6), 6, color=MUTED)


def _draw_over_read(axes: Axes, decision: SheetDecision, words: Words, right: float) -> None:
    """A tag beside the title and, as far as there is room, why."""
    left = GRID_LEFT + width_mm(words("findings"), 8, "bold") + 4.0
    tag = words("over_read")
    width = width_mm(tag, 6, "bold") + 3.0
    colour = ALARM if decision.critical else WARNING
    axes.add_patch(Rectangle((left, PANEL_TOP - 1.0), width, 3.6, facecolor=colour, edgecolor="none", zorder=5))
    write(axes, left + 1.5, PANEL_TOP + 0.1, tag, 6, weight="bold", color="white")
    why = "; ".join([*decision.critical, *decision.reasons])
    x = left + width + 2.0
    write(axes, x, PANEL_TOP, fit(why, right - x, 6.5), 6.5, color=colour)


def _draw_finding(axes: Axes, x: float, y: float, finding: SheetFinding, words: Words) -> list[tuple[Rectangle, str]]:
    """One row whose first text baseline is ``y``; returns its bars, to be drawn together with the others'."""
    colour = URGENCY_COLOURS[finding.urgency]
    code_width, name_width, bar_width = 15.0, 41.0, 18.0
    alert = words(finding.urgency.value) if finding.urgency in (Urgency.CRITICAL, Urgency.URGENT) else ""
    bars = [(Rectangle((x, y - 2.7), 1.0, 4.8), colour)]
    code_y = y if alert else y - 1.2
    write(axes, x + 2.2, code_y, fit(finding.code, code_width - 1, 7.5, "bold"), 7.5, weight="bold")
    if alert:
        write(axes, x + 2.2, y - 2.5, fit(alert, code_width - 1, 5, "bold"), 5, weight="bold", color=colour)
    name_x = x + 2.2 + code_width
    size = 7.0 if width_mm(printable(finding.name), 7.0) <= name_width else 6.2
    lines = wrap(finding.name, name_width, size, 2)
    for i, line in enumerate(lines):
        write(axes, name_x, (y - 1.2) if len(lines) == 1 else y - 2.6 * i, line, size)
    bar_x, bar_y = name_x + name_width + 1.5, y - 1.3
    bars.append((Rectangle((bar_x, bar_y), bar_width, 2.0), "#e6e6e6"))
    bars.append((Rectangle((bar_x, bar_y), bar_width * finding.probability, 2.0), colour))
    bars.append((Rectangle((bar_x + bar_width * finding.threshold - 0.15, bar_y - 0.7), 0.3, 3.4), INK))
    percent_x = bar_x + bar_width + 10.2
    write(axes, percent_x, y - 1.2, words.percent(finding.probability), 7.5, ha="right", weight="bold")
    if finding.uncertain:
        write(axes, percent_x + 0.8, y - 1.2, "?", 7.5, weight="bold", color=WARNING)
    return bars


def _draw_quality(axes: Axes, sheet: Sheet, words: Words) -> float:
    """Returns the baseline of its last line."""
    quality = sheet.quality
    write(axes, _SIDE_LEFT, PANEL_TOP, words("quality"), 8, weight="bold")
    y = PANEL_TOP - 4.4
    if quality is None:
        write(axes, _SIDE_LEFT, y, words("not_graded"), 7, color=MUTED)
        return y
    grade = words("grade_reject") if quality.grade is Grade.REJECT else words("grade", grade=quality.grade.value)
    colour = INK if quality.grade in (Grade.A, Grade.B) else WARNING
    verdict = _join([grade, words("score", score=words.number(quality.score, 2))])
    write(axes, GRID_RIGHT, PANEL_TOP, verdict, 7.5, weight="bold", ha="right", color=colour)
    remarks = [*quality.reasons]
    for lead in sorted(quality.leads, key=lambda q: list(Grade).index(q.grade), reverse=True):  # worst first
        if lead.grade is not Grade.A:
            name = words("grade_reject") if lead.grade is Grade.REJECT else lead.grade.value
            reasons = f" {', '.join(lead.reasons)}" if lead.reasons else ""
            remarks.append(f"{lead.lead}\N{NO-BREAK SPACE}({name}){reasons}")
    for i, line in enumerate(wrap("; ".join(remarks) or words("all_leads_clean"), _SIDE_WIDTH, 6.5, 3)):
        y = PANEL_TOP - 4.2 - 3.0 * i
        write(axes, _SIDE_LEFT, y, line, 6.5, color=WARNING if remarks else MUTED)
    return y


def _draw_explanation(axes: Axes, sheet: Sheet, words: Words, y: float) -> None:
    attribution = sheet.attribution
    assert attribution is not None  # noqa: S101 - told to mypy; the caller looked
    y -= 3.0
    write(axes, _SIDE_LEFT, y, words("explanation"), 8, weight="bold")
    y -= 4.0
    size = 7.0 if width_mm(printable(attribution.label), 7) <= _SIDE_WIDTH else 6.2
    write(axes, _SIDE_LEFT, y, fit(attribution.label, _SIDE_WIDTH, size), size)
    shares = lead_shares(sheet, attribution)
    if not shares:
        write(axes, _SIDE_LEFT, y - 4.0, words("no_influence"), 6.5, color=MUTED)
        return
    y -= 4.2
    weak, strong = words("weak"), words("strong")
    bar_x = _SIDE_LEFT + width_mm(weak, 6) + 1.5
    bar_width = 24.0
    ramp = np.empty((1, 64, 4))
    ramp[..., :3] = COLOUR
    ramp[..., 3] = np.linspace(0.0, MAX_ALPHA, 64)
    axes.imshow(
        ramp, extent=(bar_x, bar_x + bar_width, y - 0.5, y + 1.9), aspect="auto", interpolation="bilinear", zorder=5
    )
    axes.add_patch(
        Rectangle((bar_x, y - 0.5), bar_width, 2.4, facecolor="none", edgecolor=MUTED, linewidth=0.4, zorder=6)
    )
    write(axes, _SIDE_LEFT, y, weak, 6, color=MUTED)
    after = bar_x + bar_width + 1.5
    write(axes, after, y, strong, 6, color=MUTED)
    y -= 3.8
    top = ", ".join(f"{lead} {words.percent(share)}" for lead, share in shares[:4] if share >= 0.005)
    write(axes, _SIDE_LEFT, y, fit(words("shares", items=top), _SIDE_WIDTH, 6.5), 6.5)
    meaning = words(attribution.meaning, floor=words.percent(FLOOR))
    for i, line in enumerate(wrap(meaning, _SIDE_WIDTH, 5.8, 2)):
        write(axes, _SIDE_LEFT, y - 3.2 - 2.6 * i, line, 5.8, color=MUTED)


def draw_footer(axes: Axes, sheet: Sheet, placement: Placement, words: Words) -> None:
    """The scale under the grid, then the notices."""
    scale = f"{words.number(MM_PER_SECOND)} mm/s · {words.number(placement.gain)} mm/mV"
    y = GRID_BOTTOM - 4.0
    write(axes, GRID_LEFT, y, scale, 8, weight="bold")
    x = GRID_LEFT + width_mm(scale, 8, "bold") + 3.0
    notes = []
    if placement.gain < 10.0:
        notes.append(words("gain_reduced"))
    if placement.clipped:
        notes.append(words("clipped", leads=", ".join(placement.clipped)))
    if sheet.duration > placement.shown_seconds + 0.05:
        shown, total = words.number(placement.shown_seconds), words.number(sheet.duration)
        notes.append(words("first_seconds", shown=shown, total=total))
    if notes:
        warning = _join(notes)
        write(axes, x, y, warning, 7, weight="bold", color=WARNING)
        x += width_mm(printable(warning), 7, "bold") + 3.0
    facts = _join(
        [
            words("columns", seconds=words.number(placement.column_seconds, 2)),
            words("rhythm", lead=placement.traces[-1].slot.lead),
            words("unfiltered"),
        ]
    )
    write(axes, x, y, fit(facts, GRID_RIGHT - x, 6.5), 6.5, color=MUTED)
    printing = words("print")
    write(axes, GRID_RIGHT, GRID_BOTTOM - 8.4, printing, 6, color=MUTED, ha="right")
    width = GRID_RIGHT - GRID_LEFT - width_mm(printing, 6) - 4.0
    draw_notice(axes, words, GRID_BOTTOM - 8.4, width)
    if sheet.footnotes:
        for i, line in enumerate(wrap(_join(sheet.footnotes), PAGE[0] - 2 * GRID_LEFT, 6, 1)):
            write(axes, GRID_LEFT, GRID_BOTTOM - 11.6 - 2.6 * i, line, 6, color=MUTED)


def draw_notice(axes: Axes, words: Words, y: float = 7.0, width: float = GRID_RIGHT - GRID_LEFT) -> None:
    """That this is research: on every page."""
    write(axes, GRID_LEFT, y, fit(words("research"), width, 6.5, "bold"), 6.5, weight="bold")
