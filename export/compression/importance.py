"""How much each inner unit of a network matters to its loss: first-order Taylor expansion at a gate.

Every prunable unit (bottleneck channel, attention head, feed-forward unit) is multiplied by a gate of one. The
importance of a unit is the mean over recordings of the squared derivative of that recording's loss with respect to
its gate: what removing the unit would change to first order, squared (Molchanov et al., "Importance Estimation for
Neural Network Pruning", CVPR 2019, with the gate after the activation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.architectures.hybrid import DenseLayer, EncoderLayer, Hybrid
from export.training.labels import SUPERCLASSES

__all__ = ["Importance", "measure_importance", "prunable"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Importance:
    """One array per layer, one value per unit, in the order of the layer's units."""

    bottleneck_channels: tuple[FloatArray, ...]
    kept_heads: tuple[FloatArray, ...]
    feed_forward_units: tuple[FloatArray, ...]


def prunable(network: Hybrid) -> dict[str, list[tuple[nn.Module, int, int]]]:
    """Per kind (named as in ``HybridConfig``) and layer: what reads the units, their number, values per unit."""
    dense = [layer for layer in network.features if isinstance(layer, DenseLayer)]
    encoder = [layer for layer in network.encoder if isinstance(layer, EncoderLayer)]
    return {
        "bottleneck_channels": [(layer.grow, layer.grow.conv.in_channels, 1) for layer in dense],
        "kept_heads": [(layer.project, layer.heads, layer.head_width) for layer in encoder],
        "feed_forward_units": [(layer.contract, layer.contract.in_features, 1) for layer in encoder],
    }


@contextmanager
def _gated(readers: Mapping[nn.Module, tuple[Tensor, int]]) -> Iterator[None]:
    """Multiply the input of each reader by its gates [B, units], each spread over the values of its unit."""

    def hook(gate: Tensor, repeat: int) -> Callable[[nn.Module, Any], Any]:
        def multiply(module: nn.Module, inputs: Any) -> Any:
            spread = gate.repeat_interleave(repeat, 1)
            # Convolutions read [B, channels, T], linear layers [B, T, values].
            return (inputs[0] * (spread[:, None] if isinstance(module, nn.Linear) else spread[..., None]),)

        return multiply

    handles = [module.register_forward_pre_hook(hook(*entry)) for module, entry in readers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _served_loss(network: Hybrid, ecg: Tensor, target: Mapping[str, Tensor]) -> Tensor:
    """Sum over recordings of the served heads' cross-entropy, superclasses weighing as much as all other statements."""
    total = torch.zeros(())
    n = len(SUPERCLASSES)
    for name, logits in zip(network.config.heads, network(ecg), strict=True):
        loss = functional.binary_cross_entropy_with_logits(logits, target[name], reduction="none")
        for part in (loss[:, :n], loss[:, n:]) if name == "statements" else (loss,):
            total = total + part.mean(1).sum()
    return total


def measure_importance(
    network: Hybrid,
    signals: FloatArray,
    target: Mapping[str, Tensor],
    batch: int = 32,
) -> Importance:
    """Importance of every prunable unit over ``signals`` [N, 12, samples] and their targets per head [N, classes].

    The network is left as it was, in evaluation mode: without dropout, with its running statistics.
    """
    network.eval()
    places = prunable(network)
    total = {kind: [torch.zeros(units) for _, units, _ in layers] for kind, layers in places.items()}
    for start in range(0, len(signals), batch):
        ecg = torch.from_numpy(np.array(signals[start : start + batch]))
        wanted = {name: value[start : start + batch] for name, value in target.items()}
        gates = {
            kind: [torch.ones(len(ecg), units, requires_grad=True) for _, units, _ in layers]
            for kind, layers in places.items()
        }
        readers = {
            module: (gate, repeat)
            for kind, layers in places.items()
            for (module, _, repeat), gate in zip(layers, gates[kind], strict=True)
        }
        with _gated(readers):
            loss = _served_loss(network, ecg, wanted)
        flat = [gate for layers in gates.values() for gate in layers]
        slopes = iter(torch.autograd.grad(loss, flat))
        for kind, layers in places.items():
            for k in range(len(layers)):
                total[kind][k] += (next(slopes) ** 2).sum(0)
    count = len(signals)
    return Importance(**{kind: tuple((t / count).numpy() for t in layers) for kind, layers in total.items()})
