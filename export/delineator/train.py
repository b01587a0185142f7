"""Train the segmenter."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from export.delineator.data import IGNORED, Example, augmented
from export.delineator.network import CLASS_WEIGHTS, Segmenter

__all__ = ["FOLDS", "STEPS", "fit", "in_fold"]

FOLDS = 5
STEPS = 800

BATCH = 4
CROP = 1280  # 5.12 s at 250 Hz
LEARNING_RATE = 4e-3


def in_fold(number: int) -> int:
    """Which fold a record is tested in."""
    return (number - 1) % FOLDS


def fit(examples: Sequence[Example], steps: int, seed: int) -> Segmenter:
    """One network, from random weights, by AdamW with a one-cycle learning rate."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Segmenter()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    weights = torch.tensor(CLASS_WEIGHTS)
    model.train()
    began = time.monotonic()
    order: list[int] = []
    for step in range(steps):
        while len(order) < BATCH:
            order.extend(rng.permutation(len(examples)))
        picked = [augmented(examples[order.pop()], CROP, rng) for _ in range(BATCH)]
        ecg = torch.from_numpy(np.stack([p[0] for p in picked]))
        labels = torch.from_numpy(np.stack([p[1] for p in picked]).astype(np.int64))
        logits = model(ecg).movedim(2, 1)
        loss = functional.cross_entropy(logits, labels, weight=weights, ignore_index=IGNORED, label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if math.isnan(loss.item()):
            raise FloatingPointError(f"the loss is not a number at step {step}")
        if step % 100 == 99:
            print(f"step {step + 1}/{steps} loss {loss.item():.4f} {time.monotonic() - began:.0f} s", flush=True)
    return model.eval()
