"""Which measurements a counterfactual moves: both recordings measured alike, on the model's own tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from cardiomesh.cards import ModelCard
from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.measurements import Measurement, Measurements, measure
from cardiomesh.ecg.recording import Recording
from explainer.model import FloatArray

__all__ = ["Moved", "moved"]

#: A difference counts from here on: a sample of the tensor and some (ms), 25 µV as IEC 60601-2-25 allows amplitudes,
#: ten degrees of axis.
_TOLERANCES: Final = {"ms": 12.0, "mV": 0.025, "deg": 10.0}
_AMPLITUDES: Final = ("p", "q", "r", "s", "r_prime", "j", "j60", "t")


@dataclass(frozen=True, slots=True)
class Moved:
    """One measurement before and after, and how many tolerances lie between."""

    key: str
    lead: str
    unit: str
    before: float
    after: float
    tolerances: float


def moved(card: ModelCard, before: FloatArray, after: FloatArray) -> tuple[Moved, ...]:
    """What changed by more than its tolerance from ``[windows, leads, samples]`` to another, the farthest first.

    Windows are measured one by one; the first in which a measurement can be made on both counts.
    """
    found: dict[tuple[str, str], Moved] = {}
    for one, other in zip(before, after, strict=True):
        first, second = _measured(card, one), _measured(card, other)
        for place, value in first.items():
            changed = second.get(place)
            if place in found or changed is None or value.value is None or changed.value is None:
                continue
            difference = changed.value - value.value
            if value.unit == "deg":
                difference = (difference + 180.0) % 360.0 - 180.0
            tolerances = abs(difference) / _TOLERANCES[value.unit]
            found[place] = Moved(*place, value.unit, value.value, value.value + difference, tolerances)
    return tuple(sorted((m for m in found.values() if m.tolerances > 1.0), key=lambda m: -m.tolerances))


def _measured(card: ModelCard, window: FloatArray) -> dict[tuple[str, str], Measurement]:
    rate = card.input.sampling_rate_hz
    recording = Recording(card.input.leads, window.astype(float), rate, "tensor")
    named = dict(_named(measure(recording, delineate(recording.millivolts, rate))))
    return {place: value for place, value in named.items() if value.unit in _TOLERANCES}


def _named(found: Measurements) -> Iterator[tuple[tuple[str, str], Measurement]]:
    """Intervals, axes and the amplitudes of each lead, by key and lead as the contract names them."""
    for key in ("pr", "qrs", "qt"):
        yield (f"intervals.{key}", ""), getattr(found.intervals, key)
    for wave in ("p", "qrs", "t"):
        yield (f"axis.{wave}", ""), getattr(found, f"{wave}_axis")
    for lead, values in found.leads.items():
        for entry in fields(values):
            if entry.name in _AMPLITUDES:
                yield (f"lead.{entry.name}", lead), getattr(values, entry.name)
