"""Both languages say everything, with the same places to fill in."""

from __future__ import annotations

from string import Formatter

import pytest

from cardiomesh.report.labels import _WORDS, Words


@pytest.mark.parametrize("key", sorted(_WORDS))
def test_both_languages_have_the_same_places(key: str) -> None:
    english, portuguese = ({name for _, name, _, _ in Formatter().parse(text) if name} for text in _WORDS[key])
    assert english == portuguese
    assert all(_WORDS[key])


def test_numbers_use_the_language_s_decimal_mark() -> None:
    assert (Words("en").number(2.5), Words("pt").number(2.5)) == ("2.5", "2,5")
    assert [Words("en").number(v) for v in (10.0, 100.0, 0.25)] == ["10", "100", "0.2"]


def test_no_probability_is_certain() -> None:
    assert [Words("en").percent(p) for p in (0.0, 0.004, 0.5, 0.996, 1.0)] == ["<1%", "<1%", "50%", ">99%", ">99%"]
