"""The multi-task loss: binary cross-entropy per statement, with superclasses weighing as much as all the rest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from export.training.labels import SUPERCLASSES
from export.training.settings import TrainingSettings

__all__ = ["multi_task_loss"]


def _cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    target = target * (1 - smoothing) + 0.5 * smoothing
    return functional.binary_cross_entropy_with_logits(logits, target)


def _where_known(loss: Tensor, target: Tensor) -> Tensor:
    known = torch.isfinite(target)
    return torch.where(known, loss, 0.0).sum() / known.sum().clamp(min=1)


def multi_task_loss(outputs: dict[str, Tensor], target: dict[str, Tensor], settings: TrainingSettings) -> Tensor:
    """One number for one batch; unknown age or sex (NaN) costs nothing."""
    head, truth, smoothing = outputs["statements"], target["statements"], settings.label_smoothing
    n = len(SUPERCLASSES)
    loss = settings.superclass_weight * _cross_entropy(head[:, :n], truth[:, :n], smoothing)
    loss = loss + settings.statement_weight * _cross_entropy(head[:, n:], truth[:, n:], smoothing)
    loss = loss + settings.rhythm_weight * _cross_entropy(outputs["rhythm"], target["rhythm"], smoothing)
    if "rare" in outputs:
        loss = loss + settings.rare_weight * _cross_entropy(outputs["rare"], target["rare"], smoothing)
    sex = torch.nan_to_num(target["sex"])
    loss = loss + settings.sex_weight * _where_known(
        functional.binary_cross_entropy_with_logits(outputs["sex"], sex, reduction="none"), target["sex"]
    )
    age = torch.nan_to_num(target["age"])
    return loss + settings.age_weight * _where_known(
        functional.smooth_l1_loss(outputs["age"], age, reduction="none"), target["age"]
    )
