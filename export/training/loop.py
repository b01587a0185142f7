"""One training run: seeded, resumable after any epoch, with a plain JSON record of what happened."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from export.architectures import Hybrid, HybridConfig, trainable_parameters
from export.errors import CheckpointError, DivergenceError
from export.training.augment import augment, mixup
from export.training.average import WeightAverage
from export.training.checkpoint import load_network, read_checkpoint, save_checkpoint
from export.training.labels import SUPERCLASSES, LabelSpace, build_label_space, targets
from export.training.losses import multi_task_loss
from export.training.ptbxl import Records
from export.training.settings import VALIDATION_FOLD, TrainingSettings
from export.training.teacher import Teacher, soft_targets

__all__ = ["macro_auc", "predict", "train"]

FloatArray = npt.NDArray[np.float32]


@torch.no_grad()
def predict(network: Hybrid, signals: FloatArray, batch: int = 64) -> dict[str, FloatArray]:
    """Logits of each served head for ``signals`` [N, 12, 1000]."""
    network.eval()
    device = network.norm.weight.device
    parts = [
        network(torch.from_numpy(np.array(signals[i : i + batch])).to(device)) for i in range(0, len(signals), batch)
    ]
    return {name: torch.cat([part[k] for part in parts]).cpu().numpy() for k, name in enumerate(network.config.heads)}


def macro_auc(truth: FloatArray, score: FloatArray) -> float:
    """Mean ROC-AUC over the classes that have both outcomes."""
    usable = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    return float(np.mean([roc_auc_score(truth[:, k], score[:, k]) for k in usable]))


def _optimiser(network: Hybrid, settings: TrainingSettings, steps: int) -> tuple[Any, Any]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        settings.learning_rate,
        total_steps=steps + 1,
        pct_start=settings.warm_up,
        final_div_factor=1e3,
    )
    return optimiser, schedule


def _epoch(
    network: Hybrid,
    average: WeightAverage,
    optimiser: Any,
    schedule: Any,
    data: tuple[FloatArray, dict[str, Tensor]],
    settings: TrainingSettings,
    epoch: int,
    teacher: Teacher | None,
    progress: bool,
) -> float:
    """All training records once, in an order and with augmentations that depend on seed and epoch alone."""
    signals, target = data
    random = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    torch.manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(len(signals), generator=random)
    batches = [b for b in torch.split(order, settings.batch) if len(b) > 1]
    device = torch.device(settings.device)
    network.train()
    total = 0.0
    for step, index in enumerate(tqdm(batches, desc=f"epoch {epoch + 1}/{settings.epochs}", disable=not progress)):
        x = augment(torch.from_numpy(signals[index.numpy()]), settings.augmentation, random)
        y = {name: value[index] for name, value in target.items()}
        x, y = mixup(x, y, settings.augmentation, random, seed=settings.seed + epoch * 100_000 + step)
        x, y = x.to(device), {name: value.to(device) for name, value in y.items()}
        if teacher is not None:
            y = soft_targets(y, teacher(x), settings.teacher_weight)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            outputs = network.training_outputs(x)
        loss = multi_task_loss({key: value.float() for key, value in outputs.items()}, y, settings)
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"the loss is not finite at step {step + 1} of epoch {epoch + 1}; try a smaller --learning-rate"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimiser.step()
        schedule.step()
        average.update(network)
        total += float(loss.detach()) * len(index)
    return total / len(signals)


def _take_features(network: Hybrid, path: Path) -> None:
    """Copy the convolutional part of a checkpoint into ``network``."""
    try:
        network.features.load_state_dict(load_network(path)[0].features.state_dict())
    except RuntimeError:
        raise CheckpointError(f"{path} holds other convolutions than the network to train") from None


def _resume(
    path: Path, network: Hybrid, average: WeightAverage, optimiser: Any, schedule: Any, settings: TrainingSettings
) -> tuple[int, dict[str, Any]]:
    """Take up a run after its last whole epoch; returns the number of epochs done and the run's record so far."""
    state = read_checkpoint(path)
    try:
        if state["config"] != network.config.as_dict() or state["seed"] != settings.seed:
            raise CheckpointError(f"{path} belongs to another configuration; choose another run folder")
        if state["schedule"]["total_steps"] != schedule.total_steps:
            raise CheckpointError(f"{path} was planned for another number of steps; choose another --label")
        network.load_state_dict(state["network"])
        average.model.load_state_dict(state["average"])
        average.steps = state["average_steps"]
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        record: dict[str, Any] = json.loads((path.parent / "record.json").read_text())
        start = int(state["epoch"])
        told = record["settings"]
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path.parent} holds no run that can go on ({reason}); remove it or --label") from error
    if told != json.loads(json.dumps(settings.as_dict())):
        record.setdefault("resumed_with", []).append({"epoch": start, "settings": settings.as_dict()})
    return start, record


def train(
    name: str,
    config: HybridConfig,
    records: Records,
    settings: TrainingSettings,
    folder: Path,
    teacher: Sequence[Path] = (),
    progress: bool = True,
    initial: Path | None = None,
    features: Path | None = None,
) -> Path:
    """Train one network into ``folder`` (checkpoint.pt, record.json) and return the checkpoint's path.

    ``teacher`` names the networks to learn from besides the labels (distillation), ``initial`` a checkpoint to
    start from instead of random weights (fine-tuning), ``features`` one whose convolutions alone are taken over
    (growing a larger network on a smaller one's features).
    A run that was interrupted goes on after its last whole epoch; a finished one returns at once.
    """
    torch.set_num_threads(settings.threads)
    training, validation = records.select(settings.training_folds), records.select((VALIDATION_FOLD,))
    # The classes come from folds 1 to 8 always, so that cross-fitted runs share one label space.
    space: LabelSpace = build_label_space(records.select(tuple(range(1, VALIDATION_FOLD))))
    served, auxiliary = space.sizes()
    config = replace(config, heads=served, auxiliary=auxiliary)
    signals = np.array(training.signals)
    target = {key: torch.from_numpy(value) for key, value in targets(training, space).items()}
    expected = targets(validation, space)

    torch.manual_seed(settings.seed)
    network = Hybrid(config)
    if initial is not None:
        started, _ = load_network(initial)
        if started.config != config:
            raise CheckpointError(f"{initial} holds another network or other classes than {name}")
        network.load_state_dict(started.state_dict())
    elif features is not None:
        _take_features(network, features)
    network.to(settings.device)
    guide = Teacher.open(teacher, space, settings.device, settings.precision == "bfloat16") if teacher else None
    average = WeightAverage(network, settings.average_decay)
    steps = settings.epochs * -(-len(signals) // settings.batch)
    optimiser, schedule = _optimiser(network, settings, steps)
    path, start = folder / "checkpoint.pt", 0
    record: dict[str, Any] = {
        "model": name,
        "parameters": trainable_parameters(network),
        "config": config.as_dict(),
        "settings": settings.as_dict(),
        "data": records.name,
        "data_sha256": records.digest(),
        "teacher": [str(path) for path in teacher],
        "initial": initial.parent.name if initial else None,
        "features": features.stem if features else None,
        "epochs": [],
    }
    if path.is_file():
        start, record = _resume(path, network, average, optimiser, schedule, settings)
    for epoch in range(start, settings.epochs):
        began = time.monotonic()
        loss = _epoch(network, average, optimiser, schedule, (signals, target), settings, epoch, guide, progress)
        logits = predict(average.model, validation.signals)  # type: ignore[arg-type]
        n = len(SUPERCLASSES)
        record["epochs"].append(
            {
                "epoch": epoch + 1,
                "loss": round(loss, 5),
                "fold9_superclass_auc": round(macro_auc(expected["statements"][:, :n], logits["statements"][:, :n]), 4),
                "fold9_statement_auc": round(macro_auc(expected["statements"][:, n:], logits["statements"][:, n:]), 4),
                "fold9_rhythm_auc": round(macro_auc(expected["rhythm"], logits["rhythm"]), 4),
                "seconds": round(time.monotonic() - began, 1),
            }
        )
        save_checkpoint(
            path,
            {
                "config": config.as_dict(),
                "labels": {"heads": space.heads, "auxiliary": space.auxiliary, "positives": space.positives},
                "seed": settings.seed,
                "epoch": epoch + 1,
                "network": network.state_dict(),
                "average": average.model.state_dict(),
                "average_steps": average.steps,
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            },
        )
        (folder / "record.json").write_text(json.dumps(record, indent=1))
        tqdm.write(f"{name} seed {settings.seed}: {record['epochs'][-1]}")
    return path
