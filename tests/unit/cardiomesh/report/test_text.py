"""Text fits its place, whatever is in it."""

from __future__ import annotations

import pytest

from cardiomesh.report.text import fit, printable, width_mm, wrap

LONG = "Non-specific intraventricular conduction disturbance (block)"


@pytest.mark.parametrize("width", [3.0, 10.0, 25.0, 500.0])
@pytest.mark.parametrize("text", ["", "MI", LONG, "W" * 300])
def test_fit_is_within_its_width_and_a_prefix(text: str, width: float) -> None:
    short = fit(text, width, 7)
    assert width_mm(short, 7) <= width
    assert text.startswith(short.removesuffix("…"))
    if width_mm(text, 7) <= width:
        assert short == text


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_wrap_keeps_lines_short_and_words_in_order(lines: int) -> None:
    wrapped = wrap(LONG, 39.0, 7, lines)
    assert len(wrapped) <= lines
    assert all(width_mm(line, 7) <= 39.0 for line in wrapped)
    assert LONG.startswith(" ".join(wrapped).removesuffix("…"))
    if lines == 3:
        assert " ".join(wrapped) == LONG


def test_what_the_font_lacks_is_marked_and_lines_are_joined() -> None:
    assert printable("a\nb\tc\x00") == "a b c\N{REPLACEMENT CHARACTER}"
    assert printable("心電図") == "\N{REPLACEMENT CHARACTER}" * 3
    assert printable("derivação × ≥ …") == "derivação × ≥ …"
