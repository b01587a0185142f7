"""LiteRT (``.tflite``): one ECG in, one logit tensor per head out, FP32.

``convert`` needs the package litert-torch (``export.formats.edge``); running a file needs ai-edge-litert only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from export.architectures.hybrid import Hybrid
from export.errors import ParityError, WorkshopError
from export.formats.onnx import probe

__all__ = ["LiteRtModel", "convert"]

FloatArray = npt.NDArray[np.float32]


class _Named(nn.Module):
    """The network with its outputs by name, as a LiteRT signature wants them."""

    def __init__(self, network: Hybrid) -> None:
        super().__init__()
        self.network = network

    def forward(self, ecg: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.network.config.heads, self.network(ecg), strict=True))


@dataclass(frozen=True)
class LiteRtModel:
    """One ``.tflite`` file in this process, one thread."""

    runner: Any

    @classmethod
    def open(cls, path: Path) -> LiteRtModel:
        """Load a file; ``WorkshopError`` where it or the runtime is not what is needed."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise WorkshopError("running a .tflite file needs the package ai-edge-litert") from None
        try:
            return cls(Interpreter(str(path), num_threads=1).get_signature_runner())
        except (ValueError, RuntimeError) as error:
            raise WorkshopError(f"{path} cannot be run: {str(error).splitlines()[0]}") from None

    def logits(self, signals: FloatArray) -> dict[str, FloatArray]:
        """Each output for ``signals`` [N, 12, samples], one recording at a time."""
        rows = [self.runner(ecg=np.ascontiguousarray(signal[None], dtype=np.float32)) for signal in signals]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def convert(network: Hybrid, path: Path, limit: float = 1e-4) -> float:
    """Write a served network as ``.tflite`` and run it; returns the largest difference of a logit seen."""
    import litert_torch

    ecg = probe(4, network.config.samples, network.config.leads)
    path.parent.mkdir(parents=True, exist_ok=True)
    litert_torch.convert(_Named(network).eval(), sample_kwargs={"ecg": ecg[:1]}).export(str(path))
    found = LiteRtModel.open(path).logits(ecg.numpy())
    with torch.no_grad():
        expected = dict(zip(network.config.heads, network(ecg), strict=True))
    worst = max(float(np.abs(found[name] - value.numpy()).max()) for name, value in expected.items())
    if not worst <= limit:
        raise ParityError(f"{path} differs from the network by {worst:.1e}; {limit:.0e} is allowed")
    return worst


if __name__ == "__main__":
    from export.formats.published import read_published

    print(f"{convert(read_published(Path(sys.argv[1]))[0], Path(sys.argv[2])):.1e}")
