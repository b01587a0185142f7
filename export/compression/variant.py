"""Publish the INT8 form of a published network, if it answers as its parent does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from export.calibration.heads import card_space
from export.compression.parity import Parity, parity_metrics, parity_report
from export.compression.quantise import MODEL_FILE, Ranges, quantise
from export.errors import GateError
from export.publishing.card import Facts
from export.publishing.measure import External
from export.publishing.publish import publish_files
from export.publishing.repository import newest_folder
from export.training.ptbxl import Records
from export.training.settings import VALIDATION_FOLD
from export.validation.scoring import OnnxModel, open_model

__all__ = ["publish_int8", "require_parity"]

#: Of all decisions on fold 9, and of the superclasses' macro-AUC there.
_MOST_FLIPS: Final = 0.01
_LARGEST_AUC_LOSS: Final = 0.003


def require_parity(found: Parity, name: str) -> None:
    """Raise ``GateError`` where a variant decides or ranks too differently from its parent."""
    if not found.flip_share <= _MOST_FLIPS:
        raise GateError(f"{name}: {found.flip_share:.2%} of the decisions flip; {_MOST_FLIPS:.0%} is allowed")
    if not found.auc_change.value >= -_LARGEST_AUC_LOSS:
        raise GateError(
            f"{name}: superclass macro-AUC falls by {-found.auc_change.value:.4f}; {_LARGEST_AUC_LOSS} is allowed"
        )


def _facts(card: ModelCard) -> Facts:
    return Facts(
        name=f"{card.name}_int8",
        description=f"{card.name} version {card.version} in INT8, for processors: the same weights, calibration and "
        "thresholds. It has no explaining graph, because its parent's explains its parent's arithmetic.",
        architecture=card.architecture,
        input=card.input,
        attribution=None,
        precision="weights FP16, arithmetic INT8 (convolutions and matrix products) and FP32",
        limits=card.limits,
    )


def publish_int8(
    name: str,
    ranges: Ranges,
    records: Records,
    repository: Path,
    version: int | None = None,
    external: External | None = None,
) -> Path:
    """Publish ``NAME_int8`` from a published version of NAME, if ``require_parity`` lets it pass."""
    folder = newest_folder(repository, name, version)
    card = load_card(folder / CARD_FILE)
    facts = _facts(card)
    with tempfile.TemporaryDirectory() as scratch:
        model = quantise(folder / MODEL_FILE, ranges, Path(scratch, "int8"))
        validation = records.select((VALIDATION_FOLD,))
        found = parity_report((card, open_model(repository, card)), (card, OnnxModel.open(model)), validation)
        require_parity(found, facts.name)
        data = f"PTB-XL fold {VALIDATION_FOLD}, {len(validation)} records, against {name} version {card.version}"
        command = f"python -m export parity --model {name} --variant model_repository/{facts.name}/VERSION"
        metrics = parity_metrics(found, data, command)
        return publish_files(
            facts, card_space(card), model, None, records, repository, external, heads=card.heads, metrics=metrics
        )
