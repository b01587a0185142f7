"""Why there is no value: a stable code, and the same in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = ["NO_REASON", "Reason", "why"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Empty, and false, where there is a value."""

    code: str = ""
    en: str = ""
    pt: str = ""

    def __bool__(self) -> bool:
        return bool(self.code)

    def __str__(self) -> str:
        return self.en


NO_REASON: Final = Reason()

#: Code: English, Brazilian Portuguese. What stands in braces is a number or a name.
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "NO_SIGNAL": ("no lead carries a signal", "nenhuma derivação tem sinal"),
    "LEAD_WITHOUT_SIGNAL": ("{lead} carries no signal", "{lead} não tem sinal"),
    "NOT_RECORDED": ("{lead} was not recorded", "{lead} não foi registrada"),
    "UNFIT_LEAD": ("{lead} is unfit: {reason}", "{lead} é inadequada: {reason}"),
    "NEEDS_LEADS": ("needs lead {leads}", "precisa da derivação {leads}"),
    "NEEDS_ONE_LEAD": ("needs one of the leads {leads}", "precisa de uma das derivações {leads}"),
    "NEEDS_SECONDS": ("needs {seconds} s", "precisa de {seconds} s"),
    "NEEDS_RATE": ("pacing spikes need {rate} samples a second", "espículas exigem {rate} amostras por segundo"),
    "NO_BEAT": ("no beat was found", "nenhum batimento encontrado"),
    "FEWER_THAN_TWO_BEATS": ("fewer than two beats were found", "menos de dois batimentos encontrados"),
    "FEWER_THAN_THREE_BEATS": ("fewer than three beats were found", "menos de três batimentos encontrados"),
    "NO_QRS": ("no lead shows a QRS complex", "nenhuma derivação mostra um complexo QRS"),
    "NO_QRS_IN_LEAD": ("no QRS complex in this lead", "sem complexo QRS nesta derivação"),
    "FLAT_QRS": ("the QRS complex is flat", "o complexo QRS é plano"),
    "NO_WAVE": ("no {wave} wave in this lead", "sem onda {wave} nesta derivação"),
    "NO_WAVE_IN_MOST": ("no {wave} wave in most beats", "sem onda {wave} na maioria dos batimentos"),
    "NO_LEAD_SHOWS": (
        "no lead shows a {wave} wave in most beats",
        "nenhuma derivação mostra onda {wave} na maioria dos batimentos",
    ),
    "FEW_P_WAVES": ("fewer than three P waves were found", "menos de três ondas P encontradas"),
    "FEW_BEATS_WITH_P": ("{share} of the beats have a P wave", "{share} dos batimentos têm onda P"),
    "FEW_USUAL_BEATS_WITH_P": (
        "fewer than three beats of the usual shape have a P wave",
        "menos de três batimentos da forma usual têm onda P",
    ),
    "HIDDEN_P": (
        "P waves may be hidden in the T waves of a fast regular rhythm",
        "ondas P podem estar ocultas nas ondas T de um ritmo regular rápido",
    ),
    "PR_SCATTERS": (
        "the PR interval scatters by {ms} ms from beat to beat",
        "o intervalo PR varia {ms} ms de batimento a batimento",
    ),
    "NO_FLUTTER": (
        "no regular oscillation between the QRS complexes",
        "sem oscilação regular entre os complexos QRS",
    ),
    "FLUTTER": ("flutter waves at {rate}/min", "ondas de flutter a {rate}/min"),
    "IRREGULAR": ("the rhythm is irregular: no beat is early", "o ritmo é irregular: nenhum batimento é precoce"),
    "NO_DIRECTION": ("the forces cancel out: no direction", "as forças se anulam: sem direção"),
    "NO_NEGATIVE_END": (
        "the P wave in V1 has no negative end",
        "a onda P em V1 não tem final negativo",
    ),
    "AGE_NOT_KNOWN": ("the age is not known", "a idade não é conhecida"),
    "ADULTS_ONLY": ("the formula is for adults", "a fórmula é para adultos"),
    "NOT_A_NUMBER": ("the value is not a number", "o valor não é um número"),
    "NOTHING_TO_DIVIDE_BY": ("nothing to divide by", "divisão por zero"),
    "NOT_MEASURED": ("not measured", "não medido"),
    "NO_VALUE": ("came without its value", "veio sem o valor"),
    "OTHER_UNIT": ("came in {unit} instead of {due}", "veio em {unit} em vez de {due}"),
}
_AND: Final = (" and ", " e ")


@lru_cache(maxsize=4096)
def why(code: str, **values: str | float | tuple[str, ...] | Reason) -> Reason:
    """The reason of this code; numbers come with the decimals they are to have, or whole, and names as a tuple."""
    words = [
        template.format(**{name: _said(value, language) for name, value in values.items()})
        for language, template in enumerate(_WORDS[code])
    ]
    return Reason(code, *words)


def _said(value: str | float | tuple[str, ...] | Reason, language: int) -> str:
    if isinstance(value, Reason):
        return (value.en, value.pt)[language]
    if isinstance(value, tuple):
        return _AND[language].join(value)
    if isinstance(value, float):
        text = f"{value:g}"
        return text.replace(".", ",") if language else text
    return value
