"""Scores of a published version on recordings: calibrated probabilities out of the very file that is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from cardiomesh.cards import ModelCard
from export.calibration.temperature import sigmoid

__all__ = ["OnnxModel", "probabilities"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OnnxModel:
    """One ONNX file in this process, one thread."""

    session: Any

    @classmethod
    def open(cls, path: Path, threads: int = 1) -> OnnxModel:
        """Load a file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return cls(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))

    def logits(self, signals: FloatArray, batch: int = 32) -> dict[str, FloatArray]:
        """Each output for ``signals`` [N, 12, 1000]."""
        names = [o.name for o in self.session.get_outputs()]
        parts = [
            self.session.run(names, {"ecg": np.ascontiguousarray(signals[i : i + batch], dtype=np.float32)})
            for i in range(0, len(signals), batch)
        ]
        return {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}


def probabilities(card: ModelCard, logits: dict[str, FloatArray]) -> npt.NDArray[np.float64]:
    """Calibrated probabilities [N, classes] of all heads in card order."""
    return np.concatenate([sigmoid(logits[head.output] / head.temperature) for head in card.heads], axis=1)
