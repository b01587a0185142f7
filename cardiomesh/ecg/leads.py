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
_DECORATION: Final = re.compile(r"^(?:MDC_ECG_LEAD_|ECG|LEAD|CHANNEL)?[\s_:]*(.*?)[\s_]*(?:\(.*\))?$")


def normalise_lead(name: str) -> str | None:
    """The standard name of a lead as devices spell it, or None when it is not one of the twelve.

    Understands case, ``Lead II``, ``MDC_ECG_LEAD_V1``, ``ECG aVR``, ``Lead I (Einthoven)``, ``aVR``/``AVR``/``VR``
    (Goldberger's leads without the "augmented" prefix) and ``C1`` … ``C6`` (the IEC names of V1 … V6).
    """
    match = _DECORATION.match(name.strip().upper())
    key = (match.group(1) if match else name).strip().replace("-", "").replace(" ", "")
    if len(key) == 2 and key[0] == "C" and key[1] in "123456":
        key = f"V{key[1]}"
    if key in ("VR", "VL", "VF"):
        key = f"A{key}"
    return _CANONICAL.get(key)


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
