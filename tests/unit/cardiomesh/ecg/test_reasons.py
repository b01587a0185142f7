"""Every reason is said in both languages, and means the same in both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import cardiomesh
from cardiomesh.ecg.reasons import _WORDS, NO_REASON, Reason, why

CODE = Path(cardiomesh.__file__).parent


@pytest.mark.parametrize("code", _WORDS)
def test_both_languages_say_the_same_values(code: str) -> None:
    en, pt = _WORDS[code]
    assert en != pt
    assert sorted(re.findall(r"{\w+}", en)) == sorted(re.findall(r"{\w+}", pt))


def test_every_code_is_used_and_no_other() -> None:
    used: set[str] = set()
    for file in [*(CODE / "ecg").rglob("*.py"), *(CODE / "rules").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "why":
                used |= {c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant) and c.value is not None}
    assert used == set(_WORDS)


def test_numbers_and_lists_are_written_as_each_language_writes_them() -> None:
    assert why("NEEDS_SECONDS", seconds=2.5) == Reason("NEEDS_SECONDS", "needs 2.5 s", "precisa de 2,5 s")
    assert why("NEEDS_LEADS", leads=("I", "II")).en.endswith("I and II")
    assert why("NEEDS_LEADS", leads=("I", "II")).pt.endswith("I e II")
    unfit = why("UNFIT_LEAD", lead="V1", reason=Reason("FLAT", "flat", "linha plana"))
    assert (unfit.en, unfit.pt) == ("V1 is unfit: flat", "V1 é inadequada: linha plana")


def test_no_reason_is_false() -> None:
    assert not NO_REASON
    assert why("NO_BEAT")
