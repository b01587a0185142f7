"""Augmentations of conditioned ECG batches [B, 12, T] in millivolts: each is something a recording may really do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Augmentation", "augment", "mixup"]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each augmentation goes; probabilities are per recording."""

    shift: bool = True
    gain: float = 0.10
    lead_gain: float = 0.05
    rotation_degrees: float = 12.0
    rotation_probability: float = 0.5
    #: Signal-to-noise ratios in decibels, drawn per lead against the mean power of the whole recording.
    noise_snr_db: tuple[float, float] = (8.0, 32.0)
    noise_probability: float = 0.5
    wander_mv: float = 0.10
    wander_probability: float = 0.3
    dropout_leads: int = 3
    dropout_probability: float = 0.2
    mask_seconds: float = 1.5
    mask_probability: float = 0.3
    stretch: float = 0.06
    stretch_probability: float = 0.5
    #: Some archives and devices scale every lead to the same range; the amplitudes are then lost.
    rescale_probability: float = 0.1
    mixup_alpha: float = 0.2
    mixup_probability: float = 0.5


#: Dower's transformation from the vectorcardiogram (X, Y, Z) to I, II, V1 … V6 (Dower et al., Clin Cardiol 1980).
_DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
#: The eight independent leads → all twelve (Einthoven, Goldberger).
_LIMB = np.array([[1.0, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])
_TWELVE = np.zeros((12, 8))
_TWELVE[:6, :2] = _LIMB
_TWELVE[6:, 2:] = np.eye(6)
_FORWARD = torch.tensor(_TWELVE @ _DOWER, dtype=torch.float32)
_INVERSE = torch.tensor(np.linalg.pinv(_TWELVE @ _DOWER), dtype=torch.float32)


def _rotations(count: int, degrees: float, random: torch.Generator) -> Tensor:
    """Small random rotations [B, 3, 3] by the exponential of a skew-symmetric matrix."""
    angle = (torch.rand(count, 3, generator=random) * 2 - 1) * math.radians(degrees)
    skew = torch.zeros(count, 3, 3)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -angle[:, 2], angle[:, 1], -angle[:, 0]
    skew = skew - skew.transpose(1, 2)
    return torch.matrix_exp(skew)


def _chosen(count: int, probability: float, random: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=random) < probability).float()


def _warp_and_shift(x: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """A random circular start, and another heart rate by linear interpolation."""
    count, leads, samples = x.shape
    rate = (torch.rand(count, 1, generator=random) * 2 - 1) * settings.stretch
    rate = 1.0 + rate * _chosen(count, settings.stretch_probability, random)[:, None]
    start = torch.rand(count, 1, generator=random) * samples if settings.shift else torch.zeros(count, 1)
    # Whole-sample starts where the rate is untouched keep the signal exact.
    where = torch.remainder(torch.arange(samples)[None] * rate + start.floor(), samples)
    low = where.floor().long().clamp(max=samples - 1)
    fraction = (where - low)[:, None]
    high = torch.remainder(low + 1, samples)
    a = x.gather(2, low[:, None].expand(-1, leads, -1))
    b = x.gather(2, high[:, None].expand(-1, leads, -1))
    return a + fraction * (b - a)


def _noise(x: Tensor, snr_db: tuple[float, float], random: torch.Generator) -> Tensor:
    """White noise [B, 12, T] whose power against that of the recording is the ratio drawn for each lead."""
    low, high = snr_db
    ratio = low + (high - low) * torch.rand(*x.shape[:2], 1, generator=random)
    power = x.var(2, keepdim=True).mean(1, keepdim=True)
    return torch.sqrt(power * 10 ** (-ratio / 10)) * torch.randn(x.shape, generator=random)


def augment(x: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """A changed copy of the batch; every draw comes from ``random``."""
    count, leads, samples = x.shape
    x = _warp_and_shift(x, settings, random)

    turn = _rotations(count, settings.rotation_degrees, random) - torch.eye(3)
    turn = turn * _chosen(count, settings.rotation_probability, random)[:, None, None]
    mixing = torch.eye(12) + _FORWARD @ turn @ _INVERSE
    gain = 1 + (torch.rand(count, 1, 1, generator=random) * 2 - 1) * settings.gain
    gain = gain * (1 + (torch.rand(count, leads, 1, generator=random) * 2 - 1) * settings.lead_gain)
    x = torch.matmul(mixing, x) * gain

    span = x.amax(2, keepdim=True) - x.amin(2, keepdim=True)
    rescaled = _chosen(count, settings.rescale_probability, random)[:, None, None]
    x = torch.where(rescaled > 0, x / span.clamp(min=0.05), x)

    noise = _noise(x, settings.noise_snr_db, random)
    x = x + noise * _chosen(count, settings.noise_probability, random)[:, None, None]

    seconds = torch.arange(samples) / 100.0
    frequency = 0.1 + 0.5 * torch.rand(count, 1, 1, generator=random)
    phase = 2 * math.pi * torch.rand(count, leads, 1, generator=random)
    depth = torch.rand(count, leads, 1, generator=random) * settings.wander_mv
    depth = depth * _chosen(count, settings.wander_probability, random)[:, None, None]
    x = x + depth * torch.sin(2 * math.pi * frequency * seconds + phase)

    lost = torch.rand(count, leads, generator=random).argsort(1) < torch.randint(
        1, settings.dropout_leads + 1, (count, 1), generator=random
    )
    keep = 1 - lost.float() * _chosen(count, settings.dropout_probability, random)[:, None]
    begin = torch.rand(count, 1, generator=random) * samples
    length = torch.rand(count, 1, generator=random) * settings.mask_seconds * 100
    index = torch.arange(samples)[None]
    hidden = ((index >= begin) & (index < begin + length)).float()
    hidden = hidden * _chosen(count, settings.mask_probability, random)[:, None]
    return x * keep[:, :, None] * (1 - hidden)[:, None]


def mixup(
    x: Tensor, targets: dict[str, Tensor], settings: Augmentation, random: torch.Generator, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Convex pairs of recordings and of their targets (Zhang et al., ICLR 2018)."""
    count = len(x)
    share = torch.from_numpy(
        np.random.default_rng(seed).beta(settings.mixup_alpha, settings.mixup_alpha, count).astype(np.float32)
    )
    share = torch.maximum(share, 1 - share)
    share = 1 - (1 - share) * _chosen(count, settings.mixup_probability, random)
    other = torch.randperm(count, generator=random)
    mixed = share[:, None, None] * x + (1 - share)[:, None, None] * x[other]
    return mixed, {
        name: share[:, None] * value + (1 - share)[:, None] * value[other] for name, value in targets.items()
    }
