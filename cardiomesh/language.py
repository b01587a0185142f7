"""The languages people read answers in."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["LANGUAGES", "Language"]

Language = Literal["en", "pt"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
