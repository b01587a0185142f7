"""The taxonomy: what each SCP-ECG statement is called, in English and Portuguese, and how soon it matters.

The 71 statements and five superclasses are those of PTB-XL (Wagner et al., Scientific Data 2020). SNOMED CT
concepts are those that the PhysioNet/CinC Challenges 2020-2021 assign to the same statement; where no concept
says exactly the same, the field is empty rather than near. Which statements a model answers, and from which
probability, is written in its card and not here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

__all__ = ["StatementEntry", "taxonomy"]


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One statement as the taxonomy knows it."""

    code: str
    #: superclass, diagnostic, form or rhythm.
    kind: str
    #: PTB-XL superclass of a diagnostic statement, else None.
    superclass: str | None
    name: str
    name_pt: str
    snomed_ct: str | None
    #: none, routine, urgent or critical: how soon a human must look, were it true.
    urgency: str


@lru_cache(maxsize=1)
def taxonomy() -> Mapping[str, StatementEntry]:
    """Every known statement by its SCP code or superclass name."""
    text = resources.files("cardiomesh.ecg").joinpath("statements.csv").read_text(encoding="utf-8")
    entries = (
        StatementEntry(
            code=row["code"],
            kind=row["kind"],
            superclass=row["superclass"] or None,
            name=row["name"],
            name_pt=row["name_pt"],
            snomed_ct=row["snomed_ct"] or None,
            urgency=row["urgency"],
        )
        for row in csv.DictReader(text.splitlines())
    )
    return MappingProxyType({entry.code: entry for entry in entries})
