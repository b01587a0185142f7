"""Train the segmenter: on LUDB from random weights, then further with PTB-XL's rhythms beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from export.delineator.data import IGNORED, Example, augmented
from export.delineator.network import CLASS_WEIGHTS, Segmenter, without_norms
from export.errors import DataError

__all__ = ["FOLDS", "REFINE_STEPS", "STEPS", "TEACHER_STEPS", "fit", "in_fold", "refine"]

FOLDS = 5
STEPS = 800
TEACHER_STEPS = 400
REFINE_STEPS = 500

BATCH = 4
CROP = 1280  # 5.12 s at 250 Hz
LEARNING_RATE = 4e-3
#: A trained network has no batch normalisation left and little to unlearn.
REFINE_RATE = 1.5e-3

Sample = tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]


def in_fold(number: int) -> int:
    """Which fold a record is tested in."""
    return (number - 1) % FOLDS


class _Deck:
    """Hands out augmented examples, each once before any comes again."""

    def __init__(self, examples: Sequence[Example], rng: np.random.Generator) -> None:
        if not examples:
            raise DataError("a group of records to train on is empty")
        self._examples, self._rng = examples, rng
        self._order: list[int] = []

    def draw(self) -> Sample:
        if not self._order:
            self._order.extend(self._rng.permutation(len(self._examples)))
        return augmented(self._examples[self._order.pop()], CROP, self._rng)


def fit(examples: Sequence[Example], steps: int, seed: int) -> Segmenter:
    """One network, from random weights, on LUDB alone."""
    torch.manual_seed(seed)
    deck = _Deck(examples, np.random.default_rng(seed))
    return _trained(Segmenter(), lambda: [deck.draw() for _ in range(BATCH)], steps, LEARNING_RATE)


def refine(
    model: Segmenter,
    examples: Sequence[Example],
    weak: Sequence[tuple[float, Sequence[Example]]],
    steps: int,
    seed: int,
) -> Segmenter:
    """``model`` trained further: half of each batch from LUDB, half from the ``weak`` groups by their shares."""
    rng = np.random.default_rng(seed)
    deck = _Deck(examples, rng)
    groups = [_Deck(group, rng) for _, group in weak]
    shares = [share for share, _ in weak]

    def batch() -> list[Sample]:
        drawn = [groups[k].draw() for k in rng.choice(len(groups), size=BATCH // 2, p=shares)]
        return [*drawn, *(deck.draw() for _ in range(BATCH - len(drawn)))]

    return _trained(without_norms(model), batch, steps, REFINE_RATE)


def _trained(model: Segmenter, batch: Callable[[], list[Sample]], steps: int, rate: float) -> Segmenter:
    """AdamW with a one-cycle learning rate."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    weights = torch.tensor(CLASS_WEIGHTS)
    model.train()
    began = time.monotonic()
    for step in range(steps):
        picked = batch()
        ecg = torch.from_numpy(np.stack([p[0] for p in picked]))
        labels = torch.from_numpy(np.stack([p[1] for p in picked]).astype(np.int64))
        by_phase = labels.reshape(*labels.shape[:2], -1, 2).transpose(2, 3)
        logits = model(ecg).movedim(2, 1)
        loss = functional.cross_entropy(logits, by_phase, weight=weights, ignore_index=IGNORED, label_smoothing=0.02)
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
