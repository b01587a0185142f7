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
from cardiomesh.ecg.recording import (
    MAX_AGE_YEARS,
    Device,
    ExtraChannel,
    MedianBeat,
    Patient,
    Recording,
    complete_leads,
)
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.ends import filler_span, missing_span

__all__ = ["NO_DATE", "Metadata", "age_group", "assemble", "clean_text", "extra_name", "median_beat"]

# Channels that carts add to the twelve: posterior, right-sided, Frank, Nehb, Cabrera's -aVR. Any other label could
# hold anything, a name even, and is reported by its position only.
_KNOWN_EXTRA: Final = re.compile(
    r"^(?:V(?:[789]|1[0-2]|[1-9]R)|[XYZEMHFA]|V[XYZ]|-AVR|D|J|ES|AS|AI|CM[1-6]|MCL[16]"
    r"|ECG ?[1-3]?|RHYTHM|RESP|PLETH|ABP|PPG)$"
)
_MAX_MILLIVOLTS: Final = 1e6
#: What stands for "not known" where a format insists on a date: the earliest that EDF can write.
NO_DATE: Final = datetime(1985, 1, 1)  # noqa: DTZ001
#: What carts without a set clock write.
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001
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
    apart: Sequence[ExtraChannel] = (),
    median: MedianBeat | None = None,
    as_sent: bool = False,
) -> Recording:
    """Make a Recording of channels ``[k, n]`` in millivolts, labelled as the source spells them.

    ``voltage`` says which channels are voltages (all, by default). A lead that comes twice is refused: nobody can
    say which one is meant. Padding and filler at the ends are cut, unless the caller knows what they sent
    (``as_sent``). ``apart`` are channels of another rate or length.
    """
    meta = metadata or Metadata()
    names = [normalise_lead(label) for label in labels]
    kept: list[int] = []
    seen: set[str] = set()
    others: list[int] = []
    for position, name in enumerate(names):
        if name is None or (voltage is not None and not voltage[position]):
            others.append(position)
            continue
        if name in seen:
            raise InvalidRequest.field(field_name, f"lead {name} is there twice; send it once", "DUPLICATE_LEAD")
        seen.add(name)
        kept.append(position)
    chosen = channels if len(kept) == len(channels) else channels[kept]
    first, last, notes = (0, chosen.shape[1], []) if as_sent else _signal_span(chosen, sampling_rate)
    if (first, last) != (0, chosen.shape[1]):
        channels, chosen = channels[:, first:last], np.ascontiguousarray(chosen[:, first:last])
    _check_scale(chosen, field_name, np.inf if as_sent else None)
    is_voltage = [voltage is None or voltage[k] for k in others]
    extra = [
        ExtraChannel(extra_name(labels[k], k), channels[k] if volts else None)
        for k, volts in zip(others, is_voltage, strict=True)
    ]
    leads, millivolts, derived = complete_leads([str(names[k]) for k in kept], chosen)
    return Recording(
        leads=leads,
        millivolts=millivolts,
        sampling_rate=sampling_rate,
        format=format_name,
        derived_leads=derived,
        extra=(*extra, *apart),
        device=meta.device,
        patient=meta.patient,
        acquired_at=None if meta.acquired_at in (NO_DATE, _EPOCH) else meta.acquired_at,
        remarks=tuple(dict.fromkeys((*remarks, *notes))),
        median_beat=median,
    )


def _check_scale(leads: npt.NDArray[np.float64], field_name: str, but: float | None) -> None:
    """Refuse numbers that no scale of an ECG gives, before sums of them overflow. Absurd ones below are flagged.

    ``but`` is let pass: infinity in numbers that were sent counts as a missing sample.
    """
    if not leads.size:
        return
    extremes = (float(np.fmax.reduce(leads, axis=None)), -float(np.fmin.reduce(leads, axis=None)))
    if any(extreme > _MAX_MILLIVOLTS and extreme != but for extreme in extremes):
        raise InvalidRequest.field(field_name, "amplitudes above a kilovolt; the scale is wrong", "BAD_SCALE")


def _signal_span(leads: npt.NDArray[np.float64], rate: float) -> tuple[int, int, list[str]]:
    """First sample and end of the signal in these leads, and what was found beside it."""
    start, stop = missing_span(leads)
    notes = ["PADDING_REMOVED"] if (start, stop) != (0, leads.shape[1]) else []
    first, last = filler_span(leads[:, start:stop], rate)
    if (first, last) != (0, stop - start):
        notes.append("FILLER_REMOVED")
    return start + first, start + last, notes


def median_beat(labels: Sequence[str], millivolts: npt.NDArray[np.float64], rate: float) -> MedianBeat:
    """The device's averaged beat, its leads named as :func:`assemble` names them, in the order they came.

    Its length stays as stored; filler at its ends is missing (NaN), not signal.
    """
    names = tuple(normalise_lead(label) or extra_name(label, k) for k, label in enumerate(labels))
    start, stop = filler_span(millivolts, rate)
    beat = np.full(millivolts.shape, np.nan)
    beat[:, start:stop] = millivolts[:, start:stop]
    return MedianBeat(names, beat, rate)
