"""A decoded ECG: what the rest of the system may know of a recording, and nothing more.

Identifiers (names, birth dates, hospital and serial numbers) have no field here, so no decoder can pass them on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads

__all__ = [
    "MAX_AGE_YEARS",
    "Device",
    "ExtraChannel",
    "MedianBeat",
    "Patient",
    "Recording",
    "Sex",
    "complete_leads",
]

#: Ages above 89 are one group, as in HIPAA's safe-harbour rule.
MAX_AGE_YEARS: Final = 89

Sex = Literal["female", "male"]
Millivolts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Device:
    """What recorded it. No serial numbers."""

    manufacturer: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What ECG criteria need: age in completed years (89 stands for 89 and older) and administrative sex."""

    age_years: int | None = None
    sex: Sex | None = None


@dataclass(frozen=True, slots=True)
class ExtraChannel:
    """A channel that is none of the twelve leads. ``millivolts`` is None where it is not a voltage."""

    name: str
    millivolts: Millivolts | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MedianBeat:
    """The averaged beat a device made, as stored: labels as extra channels have them, ``[len(leads), n]`` in mV.

    Kept apart, and never taken for the rhythm nor analysed.
    """

    leads: tuple[str, ...]
    millivolts: Millivolts
    sampling_rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One ECG in millivolts.

    ``millivolts`` is float64 ``[len(leads), n]``; ``leads`` are standard names in standard order, maybe fewer
    than twelve. ``derived_leads`` were computed from I and II, ``extra`` was found and is not one of the twelve.
    ``remarks`` are stable codes of what the decoder did to read it honestly, such as ``PADDING_REMOVED``.
    """

    leads: tuple[str, ...]
    millivolts: Millivolts
    sampling_rate: float
    format: str
    derived_leads: tuple[str, ...] = ()
    extra: tuple[ExtraChannel, ...] = ()
    device: Device = field(default_factory=Device)
    patient: Patient = field(default_factory=Patient)
    acquired_at: datetime | None = None
    remarks: tuple[str, ...] = ()
    median_beat: MedianBeat | None = None

    @property
    def samples(self) -> int:
        """Samples per lead."""
        return int(self.millivolts.shape[-1])

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.sampling_rate if self.sampling_rate > 0 else 0.0

    @property
    def ignored_leads(self) -> tuple[str, ...]:
        """Names of the channels that are none of the twelve."""
        return tuple(channel.name for channel in self.extra)


def complete_leads(names: Sequence[str], millivolts: Millivolts) -> tuple[tuple[str, ...], Millivolts, tuple[str, ...]]:
    """Put standard leads ``[k, n]`` into standard order and derive the four limb leads where the eight are there.

    Returns the names, the signals ``[len(names), n]`` and the names that were derived. Limb leads that were
    recorded are kept as recorded: only missing ones are computed.
    """
    if tuple(names) == STANDARD_LEADS:
        return STANDARD_LEADS, millivolts, ()
    found: Mapping[str, Millivolts] = dict(zip(names, millivolts, strict=True))
    derived: dict[str, Millivolts] = {}
    if all(lead in found for lead in INDEPENDENT_LEADS):
        computed = derive_limb_leads(found)
        derived = {lead: computed[lead] for lead in STANDARD_LEADS if lead not in found}
    every = {**found, **derived}
    ordered = tuple(lead for lead in STANDARD_LEADS if lead in every)
    if not ordered:
        return (), np.empty((0, millivolts.shape[-1])), ()
    return ordered, np.stack([every[lead] for lead in ordered]), tuple(derived)
