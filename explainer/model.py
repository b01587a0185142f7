"""What the methods need of a served model; Triton answers in service, the harness asks the same graphs in process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import ModelCard

__all__ = ["AttributionPass", "FloatArray", "Model", "probabilities"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class AttributionPass:
    """One pass over the attribution graph."""

    #: Raw logits of all heads, in the card's order, ``[batch, classes]``.
    logits: FloatArray
    #: d(Σ target · logits) / d ecg, ``[batch, leads, samples]``, per millivolt.
    gradient: FloatArray
    #: Grad-CAM of the last convolution, ``[batch, frames]``, never negative.
    cam: FloatArray


class Model(Protocol):
    """A published model and its attribution graph, which holds the same weights."""

    async def predict(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """Raw logits of all heads ``[batch, classes]`` from the graph that answers requests."""
        ...

    async def logits(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """The same, asked so that no prediction waits for it."""
        ...

    async def attribute(self, card: ModelCard, ecg: FloatArray, target: FloatArray) -> AttributionPass:
        """Logits, gradient and Grad-CAM for ``target`` weights over all classes, ``[batch, classes]``."""
        ...


def probabilities(card: ModelCard, logits: npt.NDArray[np.floating]) -> list[float]:
    """Calibrated probabilities of all statements from one recording's logits ``[windows, classes]``."""
    mean = logits.astype(np.float64).mean(axis=0).tolist()
    found: list[float] = []
    for head in card.heads:
        found += head.probabilities(mean[len(found) : len(found) + len(head.classes)])
    return found
