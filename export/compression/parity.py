"""How far a variant of a network (FP16, INT8, pruned, another format) answers as the network it came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import CARD_FILE, Metric, ModelCard, load_card
from export.calibration.heads import judge
from export.errors import WorkshopError
from export.formats.litert import LiteRtModel
from export.training.labels import SUPERCLASSES, LabelSpace, targets
from export.training.ptbxl import Records
from export.validation.metrics import Interval, paired_change
from export.validation.scoring import OnnxModel, Scorer

__all__ = ["Parity", "compare_answers", "parity_metrics", "parity_report"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Parity:
    """A variant against its reference on the same recordings."""

    records: int
    decisions: int
    #: Over all recordings and classes, of the calibrated probabilities.
    max_probability_change: float
    mean_probability_change: float
    #: Findings that are present by one and absent by the other, by their thresholds.
    flips: int
    flip_share: float
    worst_class: str
    worst_class_flips: int
    #: Macro-AUC of the superclasses, variant minus reference, on the same resampled patients.
    auc_change: Interval

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def compare_answers(
    reference: tuple[ModelCard, dict[str, FloatArray]],
    variant: tuple[ModelCard, dict[str, FloatArray]],
    superclasses: FloatArray,
    patients: npt.NDArray[Any],
    draws: int = 1000,
) -> Parity:
    """Compare logits per head [N, classes], each read by its own card; ``superclasses`` [N, 5] is the truth.

    Both cards must name the same classes in the same order.
    """
    codes = [s.code for s in reference[0].statements]
    if codes != [s.code for s in variant[0].statements]:
        raise WorkshopError(f"{variant[0].name} answers other classes than {reference[0].name}")
    before, after = (judge(card.heads, logits) for card, logits in (reference, variant))
    old, new = before.probability, after.probability
    change = np.abs(new - old)
    flipped = before.called != after.called
    worst = int(flipped.sum(0).argmax())
    n = len(SUPERCLASSES)
    return Parity(
        records=len(old),
        decisions=flipped.size,
        max_probability_change=float(change.max()),
        mean_probability_change=float(change.mean()),
        flips=int(flipped.sum()),
        flip_share=float(flipped.mean()),
        worst_class=codes[worst],
        worst_class_flips=int(flipped[:, worst].sum()),
        auc_change=paired_change(superclasses, new[:, :n], old[:, :n], patients, draws),
    )


def parity_report(
    reference: tuple[ModelCard, Scorer], variant: tuple[ModelCard, Scorer], records: Records, draws: int = 1000
) -> Parity:
    """The same, for two models on ``records``."""
    card = reference[0]
    space = LabelSpace({h.output: tuple(s.code for s in h.classes) for h in card.heads}, {}, {})
    truth = targets(records, space)["statements"][:, : len(SUPERCLASSES)]
    answers = [(c, model.logits(records.signals)) for c, model in (reference, variant)]
    return compare_answers(answers[0], answers[1], truth, records.table["patient_id"].to_numpy(), draws)


def parity_metrics(parity: Parity, data: str, command: str) -> tuple[Metric, ...]:
    """The report as rows of a card."""
    change = parity.auc_change
    rows = {
        "parity_max_probability_change": parity.max_probability_change,
        "parity_mean_probability_change": parity.mean_probability_change,
        "parity_flip_share": parity.flip_share,
    }
    found = [Metric(name=name, value=round(value, 6), data=data, command=command) for name, value in rows.items()]
    auc = Metric(
        name="parity_superclass_macro_auc_change",
        value=round(change.value, 4),
        low=round(change.low, 4),
        high=round(change.high, 4),
        data=data,
        command=command,
    )
    return (*found, auc)


def open_variant(path: Path, card: ModelCard) -> tuple[ModelCard, Scorer]:
    """A model file, or the folder of a version; read by the card beside it where there is one, else by ``card``."""
    file = path / "model.onnx" if path.is_dir() else path
    if not file.exists():
        raise WorkshopError(f"{file} does not exist")
    beside = file.with_name(CARD_FILE)
    own = load_card(beside) if beside.is_file() else card
    if file.suffix == ".onnx":
        return own, OnnxModel.open(file)
    if file.suffix == ".tflite":
        return own, LiteRtModel.open(file)
    raise WorkshopError(f"{file} is no model file that can be run here")
