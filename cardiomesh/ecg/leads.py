"""The twelve standard leads: their order, their spellings, and the relations between the limb leads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["INDEPENDENT_LEADS", "LIMB_LEADS", "STANDARD_LEADS", "derive_limb_leads", "normalise_lead"]

LIMB_LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF")
STANDARD_LEADS: Final = (*LIMB_LEADS, "V1", "V2", "V3", "V4", "V5", "V6")
#: The eight leads from which the other four follow exactly.
INDEPENDENT_LEADS: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

_CANONICAL: Final[Mapping[str, str]] = {lead.upper(): lead for lead in STANDARD_LEADS}
# What may stand before a lead's name. A hyphen binds ("ECG-II"), but before an augmented lead it is a minus sign.
_WORD: Final = r"(?:ECG|EKG|LEAD|CHANNEL|ABL(?:EITUNG|\.)?|D[EÉ]RIV(?:A[CÇ][AÃ]O|ACI[OÓ]N|ATION|AZIONE)|AVLEDNING)"
_LEAD: Final = re.compile(
    rf"(?:MDC_ECG_LEAD_|{_WORD}(?:[\s_:.]+|-(?!A?V[RLF])|(?=[IVAC])))*"
    r"(?:D?(?P<limb>I{1,3})|D(?P<number>[123])|(?P<augmented>A?\s?V[RLF])|[VC][\s_-]?(?P<chest>[1-6]))"
    r"[\s_]*(?:\((?![^)]*(?:INV|NEG|MINUS|-A?V))[^)]*\))?"
)


def normalise_lead(name: str) -> str | None:
    """The standard name of a lead as devices spell it, or None when it is not one of the twelve.

    Understands case, ``Lead II``, ``MDC_ECG_LEAD_V1``, ``ECG aVR``, ``Lead I (Einthoven)``, ``aVR``/``AVR``/``VR``
    (Goldberger's leads without the "augmented" prefix), ``C1`` … ``C6`` (the IEC names of V1 … V6), ``DI``/``D1``
    (Romance countries), and the word for lead in some languages. An inverted lead, ``-aVR``, is another lead.
    """
    match = _LEAD.fullmatch(name.strip().upper())
    if match is None:
        return None
    if match["chest"]:
        return f"V{match['chest']}"
    if match["augmented"]:
        return _CANONICAL[f"AV{match['augmented'][-1]}"]
    return match["limb"] or "I" * int(match["number"])


def derive_limb_leads(signals: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
    """III, aVR, aVL and aVF from I and II by Einthoven's law and Goldberger's definitions (same unit, shape [n])."""
    lead_i, lead_ii = signals["I"], signals["II"]
    return {
        "III": lead_ii - lead_i,
        "aVR": -(lead_i + lead_ii) / 2,
        "aVL": lead_i - lead_ii / 2,
        "aVF": lead_ii - lead_i / 2,
    }


def missing_leads(leads: Sequence[str]) -> tuple[str, ...]:
    """The standard leads that are absent from ``leads``, in standard order."""
    return tuple(lead for lead in STANDARD_LEADS if lead not in leads)
