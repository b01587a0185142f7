"""The machine-readable card of one version: everything the gateway and the explainer must know about it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import (
    Architecture,
    DataSource,
    Head,
    Metric,
    ModelCard,
    ModelInput,
    Statement,
    StatementKind,
    Urgency,
)
from cardiomesh.ecg.conditioning import MODEL_RATE_HZ, PREPROCESSING_VERSION
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.statements import taxonomy
from export.architectures import Hybrid
from export.calibration.temperature import fit_temperature, sigmoid
from export.calibration.thresholds import choose_threshold
from export.formats.combine import Member
from export.training.labels import LabelSpace
from export.training.ptbxl import CITATION, LICENCE, Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD

__all__ = ["INTENDED_USE", "LIMITS", "calibrated_heads", "draft_card", "ensemble_card"]

FloatArray = npt.NDArray[np.float32]

INTENDED_USE = (
    "Research, teaching and engineering evaluation on resting 12-lead ECGs of 10 s. Not cleared as a medical "
    "device in any country; not for diagnosis, triage or treatment."
)
LIMITS = (
    "Trained on 2,331 recordings of one German research archive (PTB-XL, 1989-1996, mostly Schiller devices); "
    "other populations and devices are represented only by the external test reported in the model card.",
    "Myocardial infarction statements do not separate acute from old infarction.",
    "Statements with few positives in fold 9 have thresholds and figures of wide uncertainty; the positives are "
    "named with each threshold.",
    "Paediatric ECGs, exercise ECGs, reversed or misplaced leads and paced ventricular rhythms were not studied.",
    "A probability below the threshold does not exclude the finding.",
)


def _code_version() -> str:
    try:
        return version("cardiomesh")
    except PackageNotFoundError:
        return "0.1.0+source"


def calibrated_heads(
    space: LabelSpace, logits: dict[str, FloatArray], truth: dict[str, FloatArray], training_records: int
) -> tuple[Head, ...]:
    """Temperatures and thresholds from fold 9 logits and labels."""
    known = taxonomy()
    heads = []
    for name, codes in space.heads.items():
        temperature = fit_temperature(logits[name], truth[name])
        probability = sigmoid(logits[name] / temperature)
        classes = []
        for k, code in enumerate(codes):
            entry = known[code]
            threshold, rule = choose_threshold(
                probability[:, k], truth[name][:, k], entry.urgency, space.positives[code] / training_records
            )
            classes.append(
                Statement(
                    code=code,
                    name=entry.name,
                    name_pt=entry.name_pt,
                    kind=StatementKind(entry.kind),
                    snomed_ct=entry.snomed_ct,
                    urgency=Urgency(entry.urgency),
                    threshold=threshold,
                    threshold_rule=rule,
                    training_positives=space.positives[code],
                )
            )
        heads.append(Head(output=name, temperature=temperature, classes=tuple(classes)))
    return tuple(heads)


def draft_card(
    name: str,
    version_number: int,
    network: Hybrid,
    parameters: int,
    heads: tuple[Head, ...],
    records: Records,
    metrics: tuple[Metric, ...] = (),
    description: str | None = None,
) -> ModelCard:
    """The card of a version; its artifacts are added when the files exist."""
    config = network.config
    return ModelCard(
        name=name,
        version=version_number,
        description=description
        or "Multi-label statements and rhythm from a 12-lead ECG: DenseNet-1D, bidirectional GRU and Transformer.",
        created=datetime.now(UTC).replace(microsecond=0),
        code_version=_code_version(),
        architecture=Architecture(
            family="hybrid-densenet1d-bigru-transformer",
            parameters=parameters,
            config=config.as_dict(),
        ),
        input=ModelInput(
            leads=STANDARD_LEADS,
            samples=config.samples,
            sampling_rate_hz=float(MODEL_RATE_HZ),
            preprocessing_version=PREPROCESSING_VERSION,
        ),
        heads=heads,
        attribution=f"{name}_attribution",
        data=DataSource(
            name=records.name,
            citation=CITATION,
            licence=LICENCE,
            records=len(records),
            training_folds=TRAINING_FOLDS,
            calibration_folds=(VALIDATION_FOLD,),
            sha256=records.digest(),
        ),
        metrics=metrics,
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )


def ensemble_card(
    name: str, version_number: int, members: list[Member], cards: list[ModelCard], heads: tuple[Head, ...]
) -> ModelCard:
    """The card of an ensemble over published versions; input, data and limits are its members'."""
    first = cards[0]
    listed = [
        {"name": m.name, "version": m.version, "weight": round(m.weight, 6), "temperatures": dict(m.temperatures)}
        for m in members
    ]
    return ModelCard(
        name=name,
        version=version_number,
        description="Mean of the calibrated logits of " + ", ".join(f"{m.name} {m.version}" for m in members) + ".",
        created=datetime.now(UTC).replace(microsecond=0),
        code_version=_code_version(),
        architecture=Architecture(
            family="ensemble",
            parameters=sum(card.architecture.parameters for card in cards),
            config={"members": listed, "combination": f"{name}_combination"},
        ),
        input=first.input,
        heads=heads,
        attribution=None,
        data=first.data,
        intended_use=INTENDED_USE,
        limits=(*LIMITS, "No attribution graph is served for the ensemble; explain a member instead."),
    )
