"""Exponential moving average of weights and batch-normalisation statistics: what is published is the average."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Follows a model with a decay that grows to its final value during the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = deepcopy(model).eval()
        self.decay, self.steps = decay, 0
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """One step towards ``model``."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)
