"""A small 1-D U-Net that names every sample of every lead: no wave, P, QRS or T.

All leads share the weights; at each resolution the mean over leads is fed back to each of them, so that a P wave
seen in II helps to find it in V6, and any number of leads in any order is understood. It works on 125 Hz frames of
two 250 Hz samples each and answers at 250 Hz. ``cardiomesh.ecg.delineation.network`` is the same in NumPy.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["CHANNELS", "CLASS_WEIGHTS", "DILATIONS", "Segmenter"]

CHANNELS = (12, 16, 24, 32, 48)
DILATIONS = (2, 4)
_KERNEL = 5
#: P and QRS are short: their samples count more in the loss. ``weights.folded`` takes this out of the answer again.
CLASS_WEIGHTS = (1.0, 1.5, 1.5, 1.0)


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(
            inputs,
            outputs,
            _KERNEL,
            stride=stride,
            padding=dilation * (_KERNEL // 2),
            dilation=dilation,
            bias=False,
        ),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )


class _Shared(nn.Module):
    """Adds to every lead a projection of the mean over the leads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, leads: int) -> Tensor:
        by_record = x.reshape(-1, leads, *x.shape[1:])
        shared: Tensor = self.project(by_record.mean(dim=1))
        return torch.relu(by_record + shared[:, None]).reshape(x.shape)


class Segmenter(nn.Module):
    """``[records, leads, n]`` at 250 Hz, n a multiple of 32, to class logits ``[records, leads, 4, n]``."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.down = nn.ModuleList([_block(2, c[0]), *(_block(a, b, stride=2) for a, b in pairwise(c))])
        self.encode = nn.ModuleList([_block(a, a) for a in c[:-1]])
        self.shared = nn.ModuleList([_Shared(a) for a in c])
        self.context = nn.ModuleList([_block(c[-1], c[-1], dilation=d) for d in DILATIONS])
        self.up = nn.ModuleList([nn.Conv1d(b, a, 1) for a, b in pairwise(c)])
        self.decode = nn.ModuleList([_block(a, a) for a in c[:-1]])
        self.head = nn.Conv1d(c[0], 8, 3, padding=1)

    def forward(self, ecg: Tensor) -> Tensor:
        """Logits of (none, P, QRS, T) for every sample."""
        records, leads, n = ecg.shape
        x = ecg.reshape(records * leads, n // 2, 2).transpose(1, 2)
        skips = []
        for level in range(len(CHANNELS)):
            x = self.down[level](x)
            if level < len(CHANNELS) - 1:
                x = self.encode[level](x)
            x = self.shared[level](x, leads)
            skips.append(x)
        for context in self.context:
            x = x + context(x)
        for level in reversed(range(len(CHANNELS) - 1)):
            x = self.up[level](x).repeat_interleave(2, dim=-1)
            x = self.decode[level](x + skips[level])
        y = self.head(x).reshape(records, leads, 4, 2, n // 2)
        logits: Tensor = y.transpose(-1, -2).reshape(records, leads, 4, n)
        return logits
