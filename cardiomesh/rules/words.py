"""Criteria, values and reasons in words, English and Brazilian Portuguese. Templates only: no free text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cardiomesh.ecg.values import Measurement, Status
from cardiomesh.language import LANGUAGES, Language
from cardiomesh.rules.schema import Compare, Constant, Label, Measure, Relation, Term, Text

__all__ = [
    "SYMBOLS",
    "both",
    "comparison",
    "joined",
    "limit",
    "number",
    "quantity",
    "shortfall",
    "subject",
    "term",
    "unit_name",
]

SYMBOLS: Final[Mapping[Relation, str]] = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
_UNITS: Final = {"deg": "°", "1": "", "mV.ms": "mV·ms", "a": "a", "[1]": ""}
_YEARS: Final = {"en": "years", "pt": "anos"}
#: Decimals that mean something in each unit.
_DIGITS: Final = {"mV": 2, "1": 2, "mV.ms": 1, "mV/s": 1}
_LARGEST: Final = {"en": "the larger of {}", "pt": "o maior entre {}"}
_SMALLEST: Final = {"en": "the smaller of {}", "pt": "o menor entre {}"}
_PATIENTS: Final = {"en": "what the patient's sex adds", "pt": "o que o sexo do paciente soma"}
_AND: Final = {"en": " and ", "pt": " e "}
_OR: Final = {"en": " or ", "pt": " ou "}
_NOT_THERE: Final = {
    Status.ABSENT: {"en": "{label} is absent", "pt": "{label}: ausente"},
    Status.NOT_EVALUABLE: {"en": "{label} cannot be told", "pt": "{label}: não mensurável"},
}


def both(make: Callable[[Language], str]) -> Text:
    """One sentence in every language."""
    return Text(**{language: make(language) for language in LANGUAGES})


def joined(parts: list[str], language: Language, word: Mapping[str, str] = _AND) -> str:
    """a, b and c."""
    return word[language].join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def number(value: float, unit: str, language: Language, digits: int | None = None) -> str:
    """A value with the decimals that its unit deserves; a count has none."""
    if digits is None:
        digits = 0 if unit == "1" and value == int(value) else _DIGITS.get(unit, 0)
    text = f"{value:.{digits}f}"
    text = text.replace("-", "−") if float(text) else text.replace("-", "")
    return text.replace(".", ",") if language == "pt" else text


def unit_name(unit: str, language: Language) -> str:
    """The unit as it is written after a number, with its space."""
    if unit == "a":
        return f" {_YEARS[language]}"
    name = _UNITS.get(unit, unit)
    return name if name in ("", "°", "%") or name.startswith("/") else f" {name}"


def quantity(value: float, unit: str, language: Language, beside: float | None = None) -> str:
    """Value and unit; with one more decimal where rounding would put it on the cut-off ``beside`` it."""
    digits = None
    known = _DIGITS.get(unit, 0)
    if beside is not None and value != beside and round(value, known) == round(beside, known):
        digits = known + 1
    return number(value, unit, language, digits) + unit_name(unit, language)


def term(node: Term, lead: str, labels: Mapping[str, Label], language: Language) -> str:
    """A measurement or a formula over measurements."""
    if isinstance(node, Measure):
        name: str = getattr(labels[node.key], language)
        return name.replace("{lead}", lead if node.lead == "*" else node.lead)
    if isinstance(node, Constant):
        return _PATIENTS[language]
    parts = [term(part, lead, labels, language) for part in node.of]
    match node.formula:
        case "sum":
            return " + ".join(parts)
        case "difference":
            return " − ".join(parts)
        case "product":
            return " × ".join(f"({part})" if " + " in part else part for part in parts)
        case "ratio":
            return " / ".join(parts)
        case "largest":
            return _LARGEST[language].format(joined(parts, language))
        case "smallest":
            return _SMALLEST[language].format(joined(parts, language))
        case "magnitude":
            return parts[0]


def comparison(
    node: Compare, lead: str, cutoffs: tuple[float, ...], labels: Mapping[str, Label], language: Language
) -> str:
    """What is asked, such as "PR interval > 200 ms"; several cut-offs where the patient leaves them open."""
    return f"{subject(node, lead, labels, language)} {limit(node.relation, cutoffs, node.unit, language)}"


def subject(node: Compare, lead: str, labels: Mapping[str, Label], language: Language) -> str:
    """What is compared, such as "PR interval"."""
    name: str = getattr(node.label, language) if node.label else term(node.value, lead, labels, language)
    return name.replace("{lead}", lead)


def limit(relation: Relation, cutoffs: tuple[float, ...], unit: str, language: Language) -> str:
    """What it is compared with, such as "> 200 ms"."""
    digits = max(_decimals(cutoff) for cutoff in cutoffs)
    asked = joined([number(c, unit, language, digits) for c in cutoffs], language, _OR)
    return f"{SYMBOLS[relation]} {asked}{unit_name(unit, language)}"


def _decimals(value: float) -> int:
    return len(f"{value:.4f}".rstrip("0").partition(".")[2])


def shortfall(node: Term, lead: str, found: Measurement, labels: Mapping[str, Label], language: Language) -> str:
    """Why there is no value: the measurement's own words, and its status where it has none."""
    label = term(node, lead, labels, language)
    if said := getattr(found.reason, language):
        return f"{label}: {said}"
    return _NOT_THERE[found.status][language].format(label=label)
