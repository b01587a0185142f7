"""The published graphs in this process: the same files that Triton serves, and copies with their weights shuffled.

``cardiomesh.local.parity`` shows that Triton answers what ONNX Runtime computes in process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from cardiomesh.cards import ModelCard
from cardiomesh.errors import CardioMeshError
from explainer.model import AttributionPass, FloatArray

__all__ = ["STAGES", "InProcessModel"]

_BATCH: Final = 8
#: Cascading randomisation (Adebayo et al., NeurIPS 2018): from the output down, each stage with all before it.
STAGES: Final = ("heads", "encoder", "recurrent", "features")
_PREFIXES: Final = {
    "heads": ("heads.", "norm."),
    "encoder": ("encoder.",),
    "recurrent": ("recurrent.", "embed."),
    "features": ("features.",),
}


class InProcessModel:
    """Answers as the served model does; with ``stages``, as if those parts had never been trained."""

    def __init__(self, repository: Path, card: ModelCard, stages: tuple[str, ...] = (), seed: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        explains = repository / str(card.attribution) / str(card.version) / "model.onnx"
        if stages:
            source: Any = _shuffled(explains, stages, seed)
            options.log_severity_level = 3
        else:
            source = str(explains)
            answers = repository / card.name / str(card.version) / "model.onnx"
            self._answers = onnxruntime.InferenceSession(str(answers), options)
        self._explains = onnxruntime.InferenceSession(source, options)
        self._shuffled = bool(stages)

    async def predict(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """From the prediction graph; a shuffled model has only the other."""
        return await self.logits(card, ecg)

    async def logits(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """Raw logits of all heads ``[batch, classes]``."""
        if self._shuffled:
            return (await self.attribute(card, ecg, np.zeros((len(ecg), len(card.statements)), np.float32))).logits
        heads = [head.output for head in card.heads]
        parts = [
            np.concatenate(self._answers.run(heads, {card.input.name: ecg[k : k + _BATCH]}), axis=1)
            for k in range(0, len(ecg), _BATCH)
        ]
        return np.concatenate(parts)

    async def attribute(self, card: ModelCard, ecg: FloatArray, target: FloatArray) -> AttributionPass:
        """Logits, gradient and Grad-CAM."""
        names = [*(head.output for head in card.heads), "gradient", "cam"]
        parts = []
        for k in range(0, len(ecg), _BATCH):
            some = {card.input.name: ecg[k : k + _BATCH], "target": target[k : k + _BATCH]}
            *logits, gradient, cam = self._explains.run(names, some)
            parts.append((np.concatenate(logits, axis=1), gradient, cam))
        return AttributionPass(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _shuffled(path: Path, stages: tuple[str, ...], seed: int) -> bytes:
    """The graph with the weights of some stages permuted: their size and distribution stay, what they learnt goes.

    Weights that the exporter stored a second time, transposed for the backward pass, are permuted alike.
    """
    import onnx  # only here: the served explainer needs no onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    rng = np.random.default_rng(seed)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    before = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    after: dict[str, npt.NDArray[Any]] = {}
    for stage in stages:
        own = [name for name in before if _plain(name).startswith(_PREFIXES[stage]) and before[name].size > 1]
        if not any(before[name].ndim > 1 for name in own):
            raise CardioMeshError(f"{path} holds no weights of the {stage}; the cascade cannot be made")
        for name in own:
            after[name] = rng.permutation(before[name].reshape(-1)).reshape(before[name].shape)
    for name, array in before.items():
        if name not in after and array.ndim >= 2:
            copy = _copied(array, before, after)
            if copy is not None:
                after[name] = copy
    for name, array in after.items():
        tensors[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return bytes(model.SerializeToString())


def _plain(name: str) -> str:
    """The name in the network, however the exporter prefixed it."""
    return name.removeprefix("network.")


def _copied(
    array: npt.NDArray[Any], before: dict[str, npt.NDArray[Any]], after: dict[str, npt.NDArray[Any]]
) -> npt.NDArray[Any] | None:
    """What a stored copy of shuffled weights becomes: a transposed one, or the heads on top of each other."""
    for name, new in after.items():
        old = before[name]
        if (
            old.ndim == 3
            and old.swapaxes(0, 1).shape == array.shape
            and np.array_equal(old.swapaxes(0, 1)[..., ::-1], array)
        ):
            return new.swapaxes(0, 1)[..., ::-1]
        if old.ndim == 2 and old.T.shape == array.shape and np.array_equal(old.T, array):
            return new.T
    heads = [name for name in after if _plain(name).startswith("heads.") and before[name].ndim == array.ndim]
    if len(heads) > 1:
        for order in (heads, heads[::-1]):
            stacked = np.concatenate([before[name] for name in order])
            if stacked.shape == array.shape and np.array_equal(stacked, array):
                return np.concatenate([after[name] for name in order])
    return None
