"""The page of reasons: complete, tidy, and never over its edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cardiomesh.cards import Urgency
from cardiomesh.language import LANGUAGES, Language
from cardiomesh.report import Asked, ReportRow, RulesPanel, RuleState, Sheet, TracedRule, draw_sheet
from cardiomesh.report.labels import Words
from cardiomesh.report.reasons import LEFT, RIGHT, draw_rules

LONG = "Nonspecific intraventricular conduction disturbance with words that go on and on, " * 3


def panel(rows: int, rules: int, agreement: Any = "contradicts") -> RulesPanel:
    """As much of everything as is asked for, all of it long."""
    urgencies = list(Urgency)
    report = tuple(ReportRow(LONG, urgencies[k % 4], aside=k % 3 == 2, contradiction=k % 5 == 0) for k in range(rows))
    criteria = tuple(
        Asked(LONG, "V1 0.12✓, V2 0.31✓, V3 0.28✓, V4 0.10", list(RuleState)[k % 3], k % 4) for k in range(9)
    )
    traced = tuple(TracedRule(LONG, list(RuleState)[k % 3], criteria, LONG, "") for k in range(rules))
    return RulesPanel(report, "CODE", LONG, agreement, traced)


@pytest.fixture
def drawn(ecg: Callable[..., Any]) -> Callable[..., Figure]:
    def draw(content: RulesPanel, language: Language = "en") -> Figure:
        return draw_sheet(replace(Sheet(ecg(), 500.0, language=language), rules=content))

    return draw


def _boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[1].texts if text.get_text()]


def _said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.axes[1].texts)


def test_a_sheet_with_rules_is_two_pages_and_the_first_keeps_its_scale(
    drawn: Callable[..., Figure], ecg: Callable[..., Any]
) -> None:
    with_rules, without = drawn(panel(3, 2)), draw_sheet(Sheet(ecg(), 500.0))
    assert with_rules.get_size_inches() * 25.4 == pytest.approx([297.0, 420.0])
    for figure in (with_rules, without):
        origin, one = figure.axes[0].transData.transform([(0, 0), (25, 10)]) / figure.dpi * 25.4
        assert one - origin == pytest.approx([25.0, 10.0])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("rows", "rules"), [(0, 0), (1, 1), (5, 3), (40, 30)])
def test_no_text_leaves_the_page_or_meets_another(
    drawn: Callable[..., Figure], language: Language, rows: int, rules: int
) -> None:
    figure = drawn(panel(rows, rules), language)
    page = figure.axes[1].bbox
    boxes = _boxes(figure)
    for text, box in boxes:
        assert page.x0 <= box.x0, text
        assert box.x1 <= page.x1 - 13.0 / 25.4 * figure.dpi, text
        assert page.y0 <= box.y0, text
    tight = [(text, box.padded(-0.15 * box.height)) for text, box in boxes]  # the line's own leading may touch
    met = [(one, two) for (one, box), (two, other) in combinations(tight, 2) if box.overlaps(other)]
    assert met == []


def test_what_finds_no_room_is_counted(drawn: Callable[..., Figure]) -> None:
    said = _said(drawn(panel(40, 30)))
    assert " more" in said
    assert "more rules" in said


def test_a_foot_can_be_left_to_what_follows(drawn: Callable[..., Figure]) -> None:
    figure = drawn(panel(0, 0))
    axes = figure.axes[1]
    before = len(axes.texts)
    tops = draw_rules(axes, panel(40, 30), Words("en"), (80.0, 100.0))
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for box, foot, top in zip((LEFT, RIGHT), (80.0, 100.0), tops, strict=True):
        assert top >= box.bottom + foot
        limit = axes.transData.transform((0, top))[1]
        columns = [t for t in axes.texts[before:] if box.left <= t.get_position()[0] <= box.right]
        assert columns
        assert min(text.get_window_extent(renderer).y0 for text in columns) >= limit


def test_what_follows_moves_up_where_the_rules_are_few(drawn: Callable[..., Figure]) -> None:
    axes = drawn(panel(0, 0)).axes[1]
    few, many = (draw_rules(axes, panel(count, count), Words("en"), (80.0, 100.0)) for count in (1, 30))
    assert few[0] > many[0] + 10
    assert few[1] > many[1] + 10


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        ("supports", "rules and model agree"),
        ("contradicts", "RULES AND MODEL DISAGREE"),
        ("silent", "silent"),
        ("", ""),
    ],
)
def test_agreement_is_said_in_words(drawn: Callable[..., Figure], agreement: str, words: str) -> None:
    assert words in _said(drawn(panel(1, 1, agreement)))


def test_no_rule_on_the_finding_is_said(drawn: Callable[..., Figure]) -> None:
    assert "No rule speaks to this finding." in _said(drawn(panel(1, 0, "silent")))
