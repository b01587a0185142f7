"""A served model whose every explanation is known: logits are weighted sums of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from cardiomesh.cards import ModelCard
from cardiomesh.errors import Unavailable
from explainer.case import Case
from explainer.model import AttributionPass
from explainer.segments import Segmentation

__all__ = ["LinearModel", "case_of"]


class LinearModel:
    """Stands for the served graphs. ``drift`` parts the two of them, ``fails_after`` calls it cannot be reached."""

    def __init__(self, weights: np.ndarray, bias: float = 0.0, drift: float = 0.0, fails_after: int = 10**9) -> None:
        self.weights = weights
        self.bias = bias
        self.drift = drift
        self.calls_left = fails_after

    async def predict(self, card: ModelCard, ecg: np.ndarray) -> np.ndarray:
        return await self.logits(card, ecg) + np.float32(self.drift)

    async def logits(self, card: ModelCard, ecg: np.ndarray) -> np.ndarray:
        if self.calls_left <= 0:
            raise Unavailable("triton cannot be reached")
        self.calls_left -= 1
        return (np.einsum("wls,cls->wc", ecg, self.weights, optimize=True) + self.bias).astype(np.float32)

    async def attribute(self, card: ModelCard, ecg: np.ndarray, target: np.ndarray) -> AttributionPass:
        logits = await self.logits(card, ecg)
        gradient = np.einsum("wc,cls->wls", target, self.weights, optimize=True).astype(np.float32)
        return AttributionPass(logits, gradient, np.ones((len(ecg), 50), np.float32))


async def case_of(
    model: Any, card: ModelCard, ecg: np.ndarray, segmentation: Segmentation | None = None, code: str = "MI"
) -> Case:
    """A case on a model of this kind."""
    labels = np.zeros((len(ecg), ecg.shape[2]), np.int8)
    empty = Segmentation(labels, np.zeros_like(ecg), ())
    return Case(model, card, ecg, await model.predict(card, ecg), code, segmentation or empty)
