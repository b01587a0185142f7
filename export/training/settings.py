"""What one training run is told; written into its record as it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from export.errors import WorkshopError
from export.training.augment import Augmentation

__all__ = [
    "TRAINING_FOLDS",
    "VALIDATION_FOLD",
    "Precision",
    "TrainingSettings",
    "choose_device",
    "fastest_precision",
    "settings_for",
]

Precision = Literal["float32", "bfloat16"]

TRAINING_FOLDS = (1, 2, 3, 4, 5, 6, 7, 8)
VALIDATION_FOLD = 9


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Optimiser, schedule, regularisation and the weights of the tasks."""

    epochs: int = 40
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.15
    average_decay: float = 0.995
    clip: float = 1.0
    label_smoothing: float = 0.02
    superclass_weight: float = 1.0
    statement_weight: float = 1.0
    rhythm_weight: float = 1.0
    rare_weight: float = 0.3
    sex_weight: float = 0.05
    age_weight: float = 0.1
    #: Share of the teacher's probabilities in the target, where a teacher is given.
    teacher_weight: float = 0.7
    seed: int = 1
    threads: int = 1
    #: "cpu" or "cuda"; the code is the same, and only "cpu" has been run.
    device: str = "cpu"
    #: Arithmetic of the forward pass while training; the weights, their average and the loss stay float32.
    precision: Precision = "float32"
    training_folds: tuple[int, ...] = TRAINING_FOLDS
    augmentation: Augmentation = field(default_factory=Augmentation)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def fastest_precision(device: str = "cpu") -> Precision:
    """bfloat16 where the hardware multiplies it (GPUs since Ampere, AVX-512 BF16, AMX), float32 elsewhere."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def choose_device(wanted: str | None = None) -> str:
    """``wanted``, or "cuda" where there is a GPU; asking for a GPU that is not there is an error."""
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise WorkshopError("--device cuda: PyTorch finds no GPU here")
    return wanted or ("cuda" if present else "cpu")


def settings_for(model: str, **changes: Any) -> TrainingSettings:
    """The settings each named model is trained with by default."""
    base: dict[str, Any] = {
        "edge_optimized": {"epochs": 40, "learning_rate": 3e-3},
        "hybrid_mobile": {"epochs": 35, "learning_rate": 2e-3},
        "hybrid_full": {"epochs": 30, "learning_rate": 1e-3},
    }.get(model, {})
    return TrainingSettings(**(base | {k: v for k, v in changes.items() if v is not None}))
