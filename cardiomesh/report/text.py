"""Text that fits: measured, wrapped and shortened in millimetres with the bundled DejaVu Sans."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

__all__ = ["Weight", "fit", "font", "printable", "width_mm", "wrap"]

Weight = Literal["normal", "bold"]
MM_PER_POINT: Final = 25.4 / 72
_ELLIPSIS: Final = "…"
_BREAKING_SPACE: Final = re.compile(r"[^\S\u00a0]+")
#: Hinting to whole pixels widens small text by up to this much at 150 dpi (measured); it must still fit.
_HINTING: Final = 1.09


@lru_cache(maxsize=64)
def font(size: float, weight: Weight = "normal") -> FontProperties:
    """DejaVu Sans at ``size`` points; it is part of matplotlib, so a sheet looks the same everywhere."""
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)


@lru_cache(maxsize=4096)
def _is_shown(character: str) -> bool:
    if not character.isprintable() and character != "\N{NO-BREAK SPACE}":
        return False
    return bool(get_font(findfont(font(8.0))).get_char_index(ord(character)))


def printable(text: str) -> str:
    """On one line, and with a replacement mark for what the font has no glyph for."""
    flat = _BREAKING_SPACE.sub(" ", text).strip()
    return "".join(c if _is_shown(c) else "\N{REPLACEMENT CHARACTER}" for c in flat)


@lru_cache(maxsize=4096)
def width_mm(text: str, size: float, weight: Weight = "normal") -> float:
    """Width that printable ``text`` needs, in millimetres."""
    if not text:
        return 0.0
    width, _, _ = text_to_path.get_text_width_height_descent(text, font(size, weight), ismath=False)
    return float(width) * MM_PER_POINT * _HINTING


def fit(text: str, width: float, size: float, weight: Weight = "normal") -> str:
    """``text`` shortened with an ellipsis to at most ``width`` millimetres."""
    text = printable(text)
    if width_mm(text, size, weight) <= width:
        return text
    low, high = 0, len(text)  # longest prefix that fits, by bisection
    while low < high:
        middle = (low + high + 1) // 2
        if width_mm(text[:middle].rstrip() + _ELLIPSIS, size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(" ,;:·-") + _ELLIPSIS


def wrap(text: str, width: float, size: float, lines: int, weight: Weight = "normal") -> list[str]:
    """``text`` in at most ``lines`` lines of at most ``width`` millimetres, the last one shortened if need be."""
    done: list[str] = []
    words = printable(text).split(" ")
    while words and len(done) < lines - 1:
        count = 1
        while count < len(words) and width_mm(" ".join(words[: count + 1]), size, weight) <= width:
            count += 1
        done.append(fit(" ".join(words[:count]), width, size, weight))
        words = words[count:]
    if words:
        done.append(fit(" ".join(words), width, size, weight))
    return done
