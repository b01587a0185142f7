"""``values.yaml`` as data: every value with its default and the sentence above it (``# -- sentence``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["CHART", "Documented", "documented", "load"]

CHART: Final = Path(__file__).resolve().parents[1] / "cardiomesh"
_KEY: Final = re.compile(r"^(\s*)([A-Za-z][A-Za-z0-9]*):(\s|$)")
_DOC: Final = re.compile(r"^\s*# -- (.*)$")


@dataclass(frozen=True, slots=True)
class Documented:
    """One value that has a sentence of its own."""

    path: tuple[str, ...]
    default: Any
    sentence: str


def load(file: Path = CHART / "values.yaml") -> dict[str, Any]:
    """The values of one file."""
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise TypeError(f"{file} holds no mapping")
    return values


def _sentences(text: str) -> dict[tuple[str, ...], str]:
    """Path → the sentence above its key; two blanks are one level, as in the whole file."""
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    pending = ""
    for line in text.splitlines():
        if doc := _DOC.match(line):
            pending = doc[1]
        elif key := _KEY.match(line):
            depth = len(key[1]) // 2
            path = [*path[:depth], key[2]]
            if pending:
                found[tuple(path)] = pending
            pending = ""
    return found


def documented(file: Path = CHART / "values.yaml") -> Iterator[Documented]:
    """Every value with a sentence, in the order of the file."""
    values = load(file)
    for path, sentence in _sentences(file.read_text(encoding="utf-8")).items():
        default: Any = values
        for part in path:
            default = default[part]
        yield Documented(path, default, sentence)
