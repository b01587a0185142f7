"""Structured pruning: inner dimensions are cut out of the weights; what is left is a smaller dense network.

Only dimensions that nothing outside their layer reads are cut: the bottleneck channels of a dense layer, the heads
of an attention, the hidden units of a feed-forward part. The channels that dense layers add and the width of a token
are read by every later layer (concatenation, residual paths) and the GRU's states are tokens, so they stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.architectures.config import HybridConfig
from export.architectures.hybrid import DenseLayer, EncoderLayer, Hybrid
from export.compression.importance import Importance
from export.errors import WorkshopError

__all__ = ["Cut", "Kept", "bottleneck_costs", "choose_units", "prune_network"]

#: Runtimes compute channels and columns in blocks of 16 floats (AVX-512, NCHWc): other widths cost as much as the next.
_BLOCK = 16
#: An encoder layer keeps at least this many heads, so that no layer degenerates to one pattern of attention.
_FEWEST_HEADS = 2

Kept = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Which share of what the units of each kind cost stays, in (0, 1]."""

    bottleneck_channels: float = 0.75
    kept_heads: float = 0.5
    feed_forward_units: float = 0.36

    def __post_init__(self) -> None:
        for kind in self.__slots__:
            if not 0 < getattr(self, kind) <= 1:
                raise WorkshopError(f"a cut keeps more than nothing and at most all: {kind} {getattr(self, kind)}")


def _allocate(scores: Sequence[np.ndarray], costs: Sequence[float], share: float, block: int, fewest: int) -> Kept:
    """The units to keep in each layer: the best blocks per cost over all layers, and a fewest number in each.

    Within a layer the units are ranked and taken in blocks, so what is kept is always the layer's best. ``costs``
    are those of one unit of each layer; blocks are taken until ``share`` of the cost of all units is spent.
    """
    order = [np.argsort(-s, kind="stable") for s in scores]
    blocks = [-(-len(s) // block) for s in scores]
    taken = [min(n, -(-fewest // block)) for n in blocks]
    budget = share * sum(cost * n for cost, n in zip(costs, blocks, strict=True))
    budget -= sum(cost * n for cost, n in zip(costs, taken, strict=True))
    rest = sorted(
        (-float(scores[k][order[k][b * block : (b + 1) * block]].mean()) / costs[k], k)
        for k in range(len(scores))
        for b in range(taken[k], blocks[k])
    )
    for _, k in rest:
        # A tolerance of half a unit, so that the share that one asks for is the share that one gets.
        if costs[k] <= budget + 0.5 * min(costs):
            taken[k] += 1
            budget -= costs[k]
    return tuple(tuple(sorted(int(u) for u in order[k][: taken[k] * block])) for k in range(len(scores)))


def bottleneck_costs(config: HybridConfig) -> list[float]:
    """Multiplications that one bottleneck channel of each dense layer costs per recording."""
    costs, channels, frames = [], config.stem_channels, config.samples // config.stem_stride
    for index, count in enumerate(config.dense_layers):
        if index:
            channels, frames = int(channels * config.compression), frames // 2
        for _ in range(count):
            costs.append(float(frames * (channels + config.dense_kernel * config.growth)))
            channels += config.growth
    return costs


def choose_units(config: HybridConfig, importance: Importance, cut: Cut) -> dict[str, Kept]:
    """Per kind and layer the units that stay, by importance per cost over all layers of the kind."""
    same = [1.0] * config.encoder_layers
    shares = (
        ("bottleneck_channels", bottleneck_costs(config), _BLOCK, _BLOCK),
        ("kept_heads", same, 1, _FEWEST_HEADS),
        ("feed_forward_units", same, _BLOCK, _BLOCK),
    )
    return {
        kind: _allocate(getattr(importance, kind), costs, getattr(cut, kind), block, fewest)
        for kind, costs, block, fewest in shares
    }


def _dense(state: dict[str, Tensor], name: str, units: Tensor) -> None:
    for key in ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
        if f"{name}.reduce.{key}" in state:
            state[f"{name}.reduce.{key}"] = state[f"{name}.reduce.{key}"][units]
    state[f"{name}.grow.conv.weight"] = state[f"{name}.grow.conv.weight"][:, units]


def _encoder(state: dict[str, Tensor], name: str, layer: EncoderLayer, heads: Tensor, units: Tensor) -> None:
    columns = (heads[:, None] * layer.head_width + torch.arange(layer.head_width)).flatten()
    inner = layer.heads * layer.head_width
    rows = torch.cat([columns + part * inner for part in range(3)])
    for key, index in (("query_key_value", rows), ("expand", units)):
        for part in ("weight", "bias"):
            state[f"{name}.{key}.{part}"] = state[f"{name}.{key}.{part}"][index]
    state[f"{name}.project.weight"] = state[f"{name}.project.weight"][:, columns]
    state[f"{name}.contract.weight"] = state[f"{name}.contract.weight"][:, units]


def prune_network(network: Hybrid, kept: dict[str, Kept]) -> Hybrid:
    """A new, smaller network of the kept units; it computes what ``network`` would with the others silent."""
    widths: dict[str, Any] = {kind: tuple(len(units) for units in layers) for kind, layers in kept.items()}
    config: HybridConfig = replace(network.config, **widths)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    dense = [f"features.{k}" for k, layer in enumerate(network.features) if isinstance(layer, DenseLayer)]
    for name, units in zip(dense, kept["bottleneck_channels"], strict=True):
        _dense(state, name, torch.tensor(units))
    for k, layer in enumerate(network.encoder):
        assert isinstance(layer, EncoderLayer)  # noqa: S101  # what the ModuleList is filled with
        heads, units = kept["kept_heads"][k], kept["feed_forward_units"][k]
        _encoder(state, f"encoder.{k}", layer, torch.tensor(heads), torch.tensor(units))
    smaller = Hybrid(config)
    smaller.load_state_dict(state)
    return smaller.eval()
