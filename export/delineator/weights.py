"""From a trained network to the file that ``cardiomesh.ecg.delineation`` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cardiomesh.ecg.delineation.network import Weights
from export.delineator.network import CLASS_WEIGHTS, Segmenter

__all__ = ["folded", "write"]


def _plain(
    layer: nn.Module | Tensor, norm: nn.Module | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Kernel ``[taps · inputs, outputs]`` and bias of a convolution, with the normalisation after it folded in."""
    if not isinstance(layer, nn.Conv1d):
        raise TypeError(f"expected a convolution, not {type(layer).__name__}")
    kernel = layer.weight.detach().double()
    bias = layer.bias.detach().double() if layer.bias is not None else torch.zeros(kernel.shape[0]).double()
    if norm is not None:
        if not isinstance(norm, nn.BatchNorm1d) or norm.running_mean is None or norm.running_var is None:
            raise TypeError("expected a batch normalisation with running statistics")
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        kernel = kernel * scale[:, None, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    flat = kernel.permute(2, 1, 0).reshape(-1, kernel.shape[0])
    return flat.float().numpy(), bias.float().numpy()


def folded(model: Segmenter, provenance: Mapping[str, object]) -> Weights:
    """The network's layers under the names that the NumPy graph uses."""
    layers: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = {}
    for group in ("down", "encode", "context", "decode"):
        for index, block in enumerate(getattr(model, group)):
            layers[f"{group}.{index}"] = _plain(block[0], block[1])
    for index, shared in enumerate(model.shared):
        layers[f"shared.{index}"] = _plain(shared.project, None)
    for index, up in enumerate(model.up):
        layers[f"up.{index}"] = _plain(up, None)
    kernel, bias = _plain(model.head, None)
    # The loss weighs the classes; its answer becomes a probability again when the weights are divided out.
    layers["head"] = kernel, bias - np.log(np.repeat(np.array(CLASS_WEIGHTS, dtype=np.float32), 2))
    return Weights({k: v[0] for k, v in layers.items()}, {k: v[1] for k, v in layers.items()}, dict(provenance))


def write(weights: Weights, file: Path | IO[bytes]) -> None:
    """Store as half precision: its rounding (2e-4 relative) is far below what noise does to an answer."""
    arrays: dict[str, npt.NDArray[np.floating]] = {
        f"{name}.kernel": kernel.astype(np.float16) for name, kernel in weights.kernels.items()
    }
    arrays |= {f"{name}.bias": bias for name, bias in weights.biases.items()}
    np.savez_compressed(file, provenance=np.array(json.dumps(dict(weights.provenance))), **arrays)  # type: ignore[arg-type]
