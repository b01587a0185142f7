"""Logits of a published version on recordings, out of the very file that is served or through Triton."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from cardiomesh.cards import ModelCard
from export.errors import WorkshopError
from export.formats.combine import tensor

__all__ = ["EnsembleModel", "OnnxModel", "Scorer", "TritonModel", "open_model"]

FloatArray = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Anything that turns signals into logits."""

    def logits(self, signals: FloatArray) -> dict[str, FloatArray]:
        """Each output for ``signals`` [N, 12, 1000]."""
        ...


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


@dataclass(frozen=True)
class EnsembleModel:
    """What Triton's ensemble scheduler does, in this process: the members, then the combining graph."""

    members: Mapping[str, OnnxModel]
    combination: OnnxModel
    heads: tuple[str, ...]

    def logits(self, signals: FloatArray) -> dict[str, FloatArray]:
        """Each output for ``signals`` [N, 12, 1000]."""
        single = {name: model.logits(signals) for name, model in self.members.items()}
        flat = {tensor(name, head): values[head] for name, values in single.items() for head in self.heads}
        return dict(zip(self.heads, self.combination.session.run(list(self.heads), flat), strict=True))


def open_model(repository: Path, card: ModelCard) -> Scorer:
    """A published version in this process, be it one network or an ensemble."""

    def graph(name: str, version: int) -> OnnxModel:
        return OnnxModel.open(repository / name / str(version) / "model.onnx")

    if card.architecture.family != "ensemble":
        return graph(card.name, card.version)
    config = card.architecture.config
    return EnsembleModel(
        {m["name"]: graph(m["name"], m["version"]) for m in config["members"]},
        graph(config["combination"], card.version),
        tuple(head.output for head in card.heads),
    )


@dataclass(frozen=True)
class TritonModel:
    """One version of a model behind a Triton gRPC endpoint: what is measured is what answers."""

    address: str
    card: ModelCard

    def logits(self, signals: FloatArray, batch: int = 16) -> dict[str, FloatArray]:
        """Each output for ``signals`` [N, 12, 1000]."""
        from tritonclient import grpc

        heads = [head.output for head in self.card.heads]
        parts: dict[str, list[FloatArray]] = {name: [] for name in heads}
        try:
            with grpc.InferenceServerClient(self.address) as client:
                for i in range(0, len(signals), batch):
                    chunk = np.ascontiguousarray(signals[i : i + batch], dtype=np.float32)
                    ecg = grpc.InferInput(self.card.input.name, chunk.shape, "FP32")
                    ecg.set_data_from_numpy(chunk)
                    answer = client.infer(
                        self.card.name,
                        [ecg],
                        model_version=str(self.card.version),
                        outputs=[grpc.InferRequestedOutput(name) for name in heads],
                        client_timeout=60.0,
                    )
                    for name in heads:
                        parts[name].append(answer.as_numpy(name))
        except grpc.InferenceServerException as error:
            raise WorkshopError(f"Triton at {self.address}: {error.message()}") from error
        return {name: np.concatenate(values) for name, values in parts.items()}
