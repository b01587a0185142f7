"""What one training run is told; written into its record as it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from export.training.augment import Augmentation

__all__ = ["TRAINING_FOLDS", "VALIDATION_FOLD", "TrainingSettings", "settings_for"]

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
    teacher_weight: float = 0.5
    seed: int = 1
    threads: int = 1
    training_folds: tuple[int, ...] = TRAINING_FOLDS
    augmentation: Augmentation = field(default_factory=Augmentation)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def settings_for(model: str, **changes: Any) -> TrainingSettings:
    """The settings each named model is trained with by default."""
    base: dict[str, Any] = {
        "edge_optimized": {"epochs": 40, "learning_rate": 3e-3},
        "hybrid_mobile": {"epochs": 35, "learning_rate": 2e-3},
        "hybrid_full": {"epochs": 25, "learning_rate": 1e-3},
    }.get(model, {})
    return TrainingSettings(**(base | {k: v for k, v in changes.items() if v is not None}))
