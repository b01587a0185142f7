"""One finding of one prediction, and everything a method may ask about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import ModelCard, Statement
from cardiomesh.errors import CardioMeshError
from explainer.model import AttributionPass, FloatArray, Model, probabilities
from explainer.segments import Segmentation

__all__ = ["Case"]

#: The attribution graph holds the same weights; more than rounding apart means it explains another model.
MAX_PREDICTION_GAP: Final = 1e-3
Logits = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What is explained. The logit of a recording is the mean over its windows, as in every answer."""

    model: Model
    card: ModelCard
    #: Millivolts, ``[windows, leads, samples]``.
    ecg: FloatArray
    #: Raw logits of the served model on it, ``[windows, classes]``.
    predicted: FloatArray
    code: str
    segmentation: Segmentation

    @property
    def index(self) -> int:
        """Position of the finding among all logits."""
        return [statement.code for statement in self.card.statements].index(self.code)

    @property
    def statement(self) -> Statement:
        """What the card says of the finding."""
        return self.card.statements[self.index]

    @property
    def probability(self) -> float:
        """Calibrated, from the served model."""
        return probabilities(self.card, self.predicted)[self.index]

    async def first_pass(self) -> tuple[AttributionPass, float]:
        """The attribution pass on the recording itself, and its gap in probability to the served model.

        Raises CardioMeshError when the gap is more than rounding: that graph explains another model.
        """
        passed = await self.model.attribute(self.card, self.ecg, self.target(len(self.ecg)))
        gap = abs(probabilities(self.card, passed.logits)[self.index] - self.probability)
        if gap > MAX_PREDICTION_GAP:
            raise CardioMeshError(
                f"{self.card.attribution} does not predict what {self.card.name} predicts; not explained"
            )
        return passed, gap

    async def logits(self, variants: FloatArray) -> Logits:
        """The finding's logit on variants ``[n, windows, leads, samples]`` of the recording, ``[n]``."""
        flat = variants.reshape(-1, *variants.shape[2:])
        found = (await self.model.logits(self.card, flat))[:, self.index]
        return np.asarray(found.reshape(variants.shape[:2]).mean(axis=1), dtype=np.float64)

    async def gradients(self, variants: FloatArray) -> tuple[Logits, FloatArray]:
        """The same, and its gradient with respect to each variant, per millivolt, of the variants' shape."""
        flat = variants.reshape(-1, *variants.shape[2:])
        passed = await self.model.attribute(self.card, flat, self.target(len(flat)))
        logit = passed.logits[:, self.index].reshape(variants.shape[:2]).mean(axis=1)
        gradient = passed.gradient.reshape(variants.shape) / variants.shape[1]
        return np.asarray(logit, dtype=np.float64), np.asarray(gradient, dtype=np.float32)

    async def served_probability(self, ecg: FloatArray) -> float:
        """What the served model itself says of another recording ``[windows, leads, samples]``."""
        return probabilities(self.card, await self.model.predict(self.card, ecg))[self.index]

    def target(self, count: int) -> FloatArray:
        """Weights over all classes that pick this finding, ``[count, classes]``."""
        target = np.zeros((count, len(self.card.statements)), np.float32)
        target[:, self.index] = 1.0
        return target
