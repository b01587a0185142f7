"""Recordings to ask about, each with the answer that its model gives in this very process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from cardiomesh.cards import CardStore
from cardiomesh.client import Analysis
from cardiomesh.ecg.conditioning import condition, window
from cardiomesh.ecg.hashing import MILLIVOLTS_PER_COUNT, canonical, tensor_hash
from cardiomesh.watch import known_ecg
from tests.conftest import ROOT

__all__ = ["MODEL", "RATE_HZ", "VERSION", "Question", "questions"]

RATE_HZ: Final = 500
#: Named in every request: which model answers is not what faults are about.
MODEL: Final = "hybrid_mobile"
VERSION: Final = max(int(folder.name) for folder in (ROOT / "model_repository" / MODEL).glob("[0-9]*"))
#: Triton's batches and this process add floats up in another order.
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class Question:
    """A recording, ``[12, n]`` mV at ``RATE_HZ``, and the right answer."""

    signal: npt.NDArray[np.float32]
    tensor_hash: str
    probabilities: Mapping[str, float]

    def wrong(self, answer: Analysis) -> str:
        """What is wrong with an answer; empty when nothing is."""
        if (answer.model.name, answer.model.version) != (MODEL, VERSION):
            return f"{answer.model.name} version {answer.model.version} answered"
        if answer.tensor_hash != self.tensor_hash:
            return "the answer is to another recording"
        if answer.probabilities.keys() != self.probabilities.keys():
            return "the answer has other findings"
        worst = max(abs(answer.probabilities[code] - p) for code, p in self.probabilities.items())
        return f"probabilities differ by {worst:.1e}" if worst > _TOLERANCE else ""


def questions(count: int, seed: int = 0) -> list[Question]:
    """Recordings that differ from each other, and from those of another seed; answered by ONNX Runtime, no service."""
    card = CardStore(ROOT / "model_repository").get(MODEL, VERSION)
    assert card is not None
    session = onnxruntime.InferenceSession(str(ROOT / "model_repository" / MODEL / str(VERSION) / "model.onnx"))
    random, ecg, found = np.random.default_rng(seed), known_ecg(), []
    for _ in range(count):
        turned = np.roll(ecg, int(random.integers(1, 400)), axis=1)
        signal = np.asarray(turned * random.uniform(0.6, 1.4), np.float32)
        windows, _starts = window(condition(canonical(signal.astype(np.float64)) * MILLIVOLTS_PER_COUNT, RATE_HZ))
        outputs = session.run([head.output for head in card.heads], {card.input.name: windows})
        probabilities = {
            statement.code: probability
            for head, logits in zip(card.heads, outputs, strict=True)
            for statement, probability in zip(head.classes, head.probabilities(logits[0].tolist()), strict=True)
        }
        found.append(Question(signal, tensor_hash(windows.astype("<f4", copy=False).tobytes()), probabilities))
    return found
