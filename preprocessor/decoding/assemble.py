"""From named channels to a Recording: names normalised, order made standard, missing limb leads derived."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import MAX_AGE_YEARS, Device, ExtraChannel, Patient, Recording, complete_leads
from cardiomesh.errors import InvalidRequest

__all__ = ["Metadata", "age_group", "assemble", "clean_text", "extra_name"]

# Channels that carts add to the twelve: posterior, right-sided, Frank, Nehb, Cabrera's -aVR. Any other label could
# hold anything, a name even, and is reported by its position only.
_KNOWN_EXTRA: Final = re.compile(
    r"^(?:V(?:[789]|1[0-2]|[1-9]R)|[XYZEMHFA]|V[XYZ]|-AVR|D|J|ES|AS|AI|CM[1-6]|MCL[16]"
    r"|ECG ?[1-3]?|RHYTHM|RESP|PLETH|ABP|PPG)$"
)
_DECORATION: Final = re.compile(r"^(?:MDC_ECG_LEAD_|LEAD[\s_]+)")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The allow-list: all that a decoder may say of a file besides its signal."""

    device: Device = field(default_factory=Device)
    patient: Patient = field(default_factory=Patient)
    acquired_at: datetime | None = None


def clean_text(value: object, limit: int = 64) -> str:
    """Printable text of at most ``limit`` characters, on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())[:limit]


def age_group(years: float | None) -> int | None:
    """Completed years with 89 and older as one group; None where unknown or impossible."""
    return min(int(years), MAX_AGE_YEARS) if years is not None and 0 <= years <= 130 else None


def extra_name(label: str, position: int) -> str:
    """The name to report for a channel that is none of the twelve leads."""
    name = _DECORATION.sub("", label.strip().upper())
    return name if _KNOWN_EXTRA.match(name) else f"channel {position + 1}"


def assemble(
    *,
    labels: Sequence[str],
    channels: npt.NDArray[np.float64],
    sampling_rate: float,
    format_name: str,
    field_name: str,
    metadata: Metadata | None = None,
    voltage: Sequence[bool] | None = None,
    remarks: Sequence[str] = (),
) -> Recording:
    """Make a Recording of channels ``[k, n]`` in millivolts, labelled as the source spells them.

    ``voltage`` says which channels are voltages (all, by default). A lead that comes twice is refused: nobody can
    say which one is meant.
    """
    meta = metadata or Metadata()
    names = [normalise_lead(label) for label in labels]
    kept: list[int] = []
    seen: set[str] = set()
    extra: list[ExtraChannel] = []
    for position, name in enumerate(names):
        is_voltage = voltage is None or voltage[position]
        if name is not None and is_voltage:
            if name in seen:
                raise InvalidRequest.field(field_name, f"lead {name} is there twice; send it once", "DUPLICATE_LEAD")
            seen.add(name)
            kept.append(position)
        else:
            label = extra_name(labels[position], position)
            extra.append(ExtraChannel(label, channels[position] if is_voltage else None))
    chosen = channels if len(kept) == len(channels) else channels[kept]
    chosen, notes = _without_missing_ends(chosen)
    remarks = [*remarks, *notes]
    leads, millivolts, derived = complete_leads([str(names[k]) for k in kept], chosen)
    return Recording(
        leads=leads,
        millivolts=millivolts,
        sampling_rate=sampling_rate,
        format=format_name,
        derived_leads=derived,
        extra=tuple(extra),
        device=meta.device,
        patient=meta.patient,
        acquired_at=meta.acquired_at,
        remarks=tuple(remarks),
    )


def _without_missing_ends(channels: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Cut samples that are missing (NaN) in every lead at once from both ends; they are not signal."""
    if not channels.size or not (np.isnan(channels[:, 0]).all() or np.isnan(channels[:, -1]).all()):
        return channels, []
    present = np.flatnonzero(~np.isnan(channels).all(axis=0))
    if not len(present):
        return channels, []
    return np.ascontiguousarray(channels[:, present[0] : present[-1] + 1]), ["PADDING_REMOVED"]
