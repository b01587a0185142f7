"""What the methods that ask the model found, as plain typed data in the sheet's language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest

__all__ = ["Bar", "BeatChange", "ChangePanel", "LimePanel", "MethodsPanel", "MovedRow"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of the beat and what the logit loses without it."""

    label: str
    weight: float


@dataclass(frozen=True, slots=True)
class LimePanel:
    """The strongest parts first. ``trust`` says how well they explain the model, ``poor`` that a gate was missed."""

    finding: str
    bars: tuple[Bar, ...]
    summary: str
    trust: str
    poor: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class BeatChange:
    """The typical beat, recorded and changed: millivolts ``[12, m]`` in standard order at ``sampling_rate`` Hz."""

    before: npt.NDArray[np.floating]
    after: npt.NDArray[np.floating]
    sampling_rate: float

    def __post_init__(self) -> None:
        shapes = {np.shape(self.before), np.shape(self.after)}
        if len(shapes) != 1 or np.ndim(self.before) != 2 or len(self.before) != len(STANDARD_LEADS):
            raise InvalidRequest.field("methods.change", f"both beats must be [12, m], not {shapes}", "SHAPE")
        if not (np.isfinite(self.before).all() and np.isfinite(self.after).all()):
            raise InvalidRequest.field("methods.change", "both beats must be finite", "NOT_FINITE")


@dataclass(frozen=True, slots=True)
class MovedRow:
    """One measurement before and after, in words."""

    name: str
    values: str


@dataclass(frozen=True, slots=True)
class ChangePanel:
    """A counterfactual; without ``beat`` where none was found."""

    finding: str
    summary: str
    beat: BeatChange | None
    moved: tuple[MovedRow, ...]
    trust: str


@dataclass(frozen=True, slots=True)
class MethodsPanel:
    """What there is, and what could not be done."""

    lime: LimePanel | None
    change: ChangePanel | None
    missing: tuple[str, ...] = ()
