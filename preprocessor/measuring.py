"""All measurements of a recording as one flat list, as the contract carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.measurements import Measurement, measure
from cardiomesh.ecg.recording import Recording

__all__ = ["Named", "measurements_of"]


@dataclass(frozen=True, slots=True)
class Named:
    """One measurement under its stable key, such as ``intervals.qt``; ``lead`` is empty for the whole recording."""

    key: str
    lead: str
    value: Measurement


def measurements_of(recording: Recording) -> tuple[Named, ...]:
    """Delineate and measure a recording that has passed its checks."""
    found = measure(recording, delineate(recording.millivolts, recording.sampling_rate))
    named = [*_group("rhythm", found.rhythm), *_group("intervals", found.intervals)]
    named += [Named(f"axis.{wave}", "", getattr(found, f"{wave}_axis")) for wave in ("p", "qrs", "t")]
    named += _group("voltages", found.voltages)
    for lead, values in found.leads.items():
        named += _group("lead", values, lead)
    return tuple(named)


def _group(prefix: str, values: Any, lead: str = "") -> Iterator[Named]:
    for entry in fields(values):
        value = getattr(values, entry.name)
        if isinstance(value, Measurement):
            yield Named(f"{prefix}.{entry.name}", lead, value)
