"""The figures that a card carries: fold 9 always, LUDB where it is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cardiomesh.cards import Metric, ModelCard
from export.training.ludb import load_ludb
from export.training.ptbxl import Records
from export.training.settings import VALIDATION_FOLD
from export.validation.evaluate import Evaluation, evaluate
from export.validation.scoring import Scorer, probabilities

__all__ = ["measure"]


def _metrics(result: Evaluation, data: str, command: str) -> list[Metric]:
    rows = [
        Metric(name=name, value=v["value"], low=v.get("low"), high=v.get("high"), data=data, command=command)
        for name, v in result.summary.items()
    ]
    rows += [
        Metric(name=f"auc_{code}", value=values["auc"], data=data, command=command)
        for code, values in result.classes.items()
        if np.isfinite(values["auc"])
    ]
    return rows


def measure(
    card: ModelCard, model: Scorer, validation: Records, truth: dict[str, Any], ludb: Path | None
) -> tuple[ModelCard, Evaluation, tuple[Evaluation, ...]]:
    """The card with its metrics, the fold 9 evaluation, and those of LUDB: true amplitudes, then as scaled."""
    served = {head.output: truth[head.output] for head in card.heads}
    scores = probabilities(card, model.logits(validation.signals))
    result = evaluate(card, scores, served, validation.table["patient_id"].to_numpy())
    base = f"python -m export evaluate --model {card.name}"
    metrics = _metrics(
        result, f"PTB-XL fold {VALIDATION_FOLD}, {len(validation)} records", f"{base} --fold {VALIDATION_FOLD}"
    )
    external: list[Evaluation] = []
    if ludb is not None:
        for calibrated, option in ((True, " --calibrated"), (False, "")):
            signals, superclasses, ids = load_ludb(ludb, calibrated)
            scores = probabilities(card, model.logits(signals))
            found = evaluate(card, scores, {"statements": superclasses}, ids)
            reading = "integers as microvolts" if calibrated else "scaled as in its headers"
            metrics += _metrics(found, f"LUDB, {len(ids)} records, {reading}", f"{base} --ludb{option}")
            external.append(found)
    return card.model_copy(update={"metrics": tuple(metrics)}), result, tuple(external)
