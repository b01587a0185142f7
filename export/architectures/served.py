"""From a trained network to the one that is served: batch normalisation folded, weights exact in half precision.

Both the prediction graph and the attribution graph are exported from the same served network, so an explanation
is computed with the very weights that made the prediction.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Final

import torch
from torch import nn

from export.architectures.hybrid import ConvUnit, Hybrid
from export.errors import CheckpointError

__all__ = ["served_network"]

_LARGEST_HALF: Final = 65504.0


def _fold(unit: ConvUnit) -> None:
    """Move the batch normalisation of a unit into the weights and a new bias of its convolution."""
    norm, old = unit.norm, unit.conv
    if not isinstance(norm, nn.BatchNorm1d) or norm.running_mean is None or norm.running_var is None:
        raise TypeError("the unit has no batch normalisation to fold")
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    conv = nn.Conv1d(
        old.in_channels, old.out_channels, old.kernel_size[0], stride=old.stride[0], padding=old.padding[0]
    )
    assert conv.bias is not None  # noqa: S101  # Conv1d has a bias by default
    conv.weight.data = (old.weight.double() * scale[:, None, None]).float()
    conv.bias.data = (norm.bias.double() - norm.running_mean.double() * scale).float()
    unit.conv, unit.norm = conv, nn.Identity()


@torch.no_grad()
def served_network(trained: Hybrid, half: bool = True) -> Hybrid:
    """A copy without auxiliary heads, with folded convolutions and, if ``half``, weights rounded to FP16 values.

    Rounding happens here, before export, and the arithmetic stays FP32: a file that stores its weights in
    half precision then computes exactly what this network computes.
    """
    network = deepcopy(trained).eval()
    network.config = replace(network.config, auxiliary={})
    network.auxiliary = nn.ModuleDict()
    for module in network.modules():
        if isinstance(module, ConvUnit):
            _fold(module)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(False)
        if half:
            if parameter.abs().max() > _LARGEST_HALF:
                raise CheckpointError(f"{name} holds values beyond half precision")
            parameter.data = parameter.half().float()
    return network
