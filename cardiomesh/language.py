"""The languages people read answers in."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["LANGUAGES", "Language", "quality_reason"]

Language = Literal["en", "pt"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

#: The preprocessor words its reasons in English, with the measured value; here they are by code.
_REASONS_PT: Final = {
    "FLAT": "linha plana",
    "LOW_AMPLITUDE": "amplitude muito baixa",
    "CONTACT_LOSS": "perda de contato do eletrodo",
    "SATURATED": "sinal saturado",
    "BASELINE_WANDER": "oscilação da linha de base",
    "BASELINE_JUMP": "salto da linha de base",
    "MAINS": "interferência da rede elétrica",
    "NOISE": "ruído muscular ou de eletrodo",
    "NOISE_BURST": "ruído em parte do registro",
    "UNRELATED": "sem relação com as outras derivações",
    "SPIKES": "picos isolados",
    "INCOHERENT": "derivações sem relação entre si: eletrodos em movimento",
    "LIMB_REVERSAL_SUSPECTED": "suspeita de troca de eletrodos dos membros",
    "CHEST_MISPLACEMENT_SUSPECTED": "suspeita de troca de eletrodos precordiais",
    "MISSING_LEAD": "falta uma derivação: o que depende dela não é avaliável",
    "HIGH_AMPLITUDE": "amplitude muito alta: verificar a escala",
    "COARSE_RESOLUTION": "resolução grosseira: verificar a escala",
}


def quality_reason(code: str, message: str, language: Language) -> str:
    """Why a lead is not better, in the reader's language; a code without a translation keeps its English text."""
    return message if language == "en" else _REASONS_PT.get(code, message)
