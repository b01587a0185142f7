"""A small 1-D U-Net that names every sample of every lead: no wave, P, QRS or T.

All leads share the weights; at each resolution the mean over leads is fed back to each of them, so that a P wave
seen in II helps to find it in V6, and any number of leads in any order is understood. It works on 125 Hz frames of
two 250 Hz samples each and answers at 250 Hz. The convolutions are two-dimensional with a height of one, because
ONNX Runtime has its blocked kernels for those only (4.6 instead of 5.8 ms a recording).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["CHANNELS", "CLASS_WEIGHTS", "DILATIONS", "Segmenter", "Served", "without_norms"]

CHANNELS = (12, 16, 24, 32, 48)
DILATIONS = (2, 4)
_KERNEL = 5
#: P and QRS are short: their samples count more in the loss. ``Served`` takes this out of the answer again.
CLASS_WEIGHTS = (1.0, 1.5, 1.5, 1.0)


def _convolution(inputs: int, outputs: int, taps: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (taps // 2)
    return nn.Conv2d(inputs, outputs, (1, taps), stride=(1, stride), padding=(0, padding), dilation=(1, dilation))


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, _KERNEL, stride, dilation), nn.BatchNorm2d(outputs), nn.ReLU())


class _Shared(nn.Module):
    """Adds to every lead a projection of the mean over the leads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = _convolution(channels, channels, 3)

    def forward(self, x: Tensor, records: int) -> Tensor:
        by_record = x.reshape(records, -1, *x.shape[1:])
        return torch.relu(by_record + self.project(by_record.mean(dim=1))[:, None]).reshape(x.shape)


class Segmenter(nn.Module):
    """``[records, leads, n]`` at 250 Hz, n a multiple of 32, to logits ``[records, leads, 4, 2, n / 2]``:
    of each class, of the even and of the odd sample of each frame."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.down = nn.ModuleList([_block(2, c[0]), *(_block(a, b, stride=2) for a, b in pairwise(c))])
        self.encode = nn.ModuleList([_block(a, a) for a in c[:-1]])
        self.shared = nn.ModuleList([_Shared(a) for a in c])
        self.context = nn.ModuleList([_block(c[-1], c[-1], dilation=d) for d in DILATIONS])
        self.up = nn.ModuleList([_convolution(b, a, 1) for a, b in pairwise(c)])
        self.decode = nn.ModuleList([_block(a, a) for a in c[:-1]])
        self.head = _convolution(c[0], 8, 3)

    def forward(self, ecg: Tensor) -> Tensor:
        """Logits of (none, P, QRS, T)."""
        records, leads, n = ecg.shape
        x = ecg.reshape(records * leads, n // 2, 2).transpose(1, 2)[:, :, None]
        skips = []
        for level in range(len(CHANNELS)):
            x = self.down[level](x)
            if level < len(CHANNELS) - 1:
                x = self.encode[level](x)
            x = self.shared[level](x, records)
            skips.append(x)
        for context in self.context:
            x = x + context(x)
        for level in reversed(range(len(CHANNELS) - 1)):
            x = nn.functional.interpolate(self.up[level](x), scale_factor=(1.0, 2.0), mode="nearest")
            x = self.decode[level](x + skips[level])
        logits: Tensor = self.head(x).reshape(records, leads, 4, 2, n // 2)
        return logits


class Served(nn.Module):
    """The trained network as it is run: one record ``[leads, n]`` to logits ``[leads, 4, 2, n / 2]``."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = without_norms(segmenter)

    def forward(self, ecg: Tensor) -> Tensor:
        """The loss weighs the classes; without those weights the softmax of the answer is a probability again."""
        prior = torch.log(torch.tensor(CLASS_WEIGHTS))[:, None, None]
        logits: Tensor = self.segmenter(ecg[None])[0] - prior
        return logits


def without_norms(segmenter: Segmenter) -> Segmenter:
    """The same network in place, each batch normalisation folded into the convolution before it."""
    for block in [*segmenter.down, *segmenter.encode, *segmenter.context, *segmenter.decode]:
        if isinstance(block[1], nn.BatchNorm2d):
            block.eval()
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    return segmenter
