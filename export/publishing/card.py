"""The machine-readable card of one version: everything the gateway and the explainer must know about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from cardiomesh.cards import Architecture, DataSource, Head, ModelCard, ModelInput
from cardiomesh.ecg.conditioning import MODEL_RATE_HZ, PREPROCESSING_VERSION
from cardiomesh.ecg.leads import STANDARD_LEADS
from export.architectures.config import HybridConfig
from export.calibration.heads import calibration_of
from export.formats.combine import Member
from export.training.ptbxl import CITATION, LICENCE, Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD

__all__ = ["INTENDED_USE", "LIMITS", "Facts", "draft_card", "ensemble_facts", "hybrid_facts", "model_input"]

INTENDED_USE: Final = (
    "Research, teaching and engineering evaluation on resting 12-lead ECGs of 10 s. Not cleared as a medical "
    "device in any country; not for diagnosis, triage or treatment."
)
LIMITS: Final = (
    "Trained on one German research archive (PTB-XL, 1989-1996, Schiller devices); other populations and devices are "
    "represented only by the external test reported in the model card, where thresholds and probabilities did not "
    "transfer.",
    "Myocardial infarction statements do not separate acute from old infarction.",
    "Statements with few positives in fold 9 have thresholds, prediction sets and figures of wide uncertainty; the "
    "positives are named with each threshold.",
    "Paediatric ECGs, exercise ECGs, reversed or misplaced leads and paced ventricular rhythms were not studied.",
    "A probability below the threshold does not exclude the finding.",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a version before it is calibrated and measured."""

    name: str
    description: str
    architecture: Architecture
    input: ModelInput
    attribution: str | None
    #: How its files store weights and compute.
    precision: str = "weights FP16, arithmetic FP32"
    limits: tuple[str, ...] = LIMITS


def code_version() -> str:
    """Version of the installed package."""
    try:
        return version("cardiomesh")
    except PackageNotFoundError:
        return "0.1.0+source"


def model_input(samples: int) -> ModelInput:
    """The input of every network made here."""
    return ModelInput(
        leads=STANDARD_LEADS,
        samples=samples,
        sampling_rate_hz=float(MODEL_RATE_HZ),
        preprocessing_version=PREPROCESSING_VERSION,
    )


def hybrid_facts(name: str, config: HybridConfig, parameters: int, attribution: bool) -> Facts:
    """Facts of a hybrid network."""
    return Facts(
        name=name,
        description="Multi-label statements and rhythm from a 12-lead ECG: DenseNet-1D, bidirectional GRU and "
        "Transformer.",
        architecture=Architecture(
            family="hybrid-densenet1d-bigru-transformer", parameters=parameters, config=config.as_dict()
        ),
        input=model_input(config.samples),
        attribution=f"{name}_attribution" if attribution else None,
    )


def ensemble_facts(name: str, members: Sequence[Member], cards: Sequence[ModelCard], verdict: str) -> Facts:
    """Facts of an ensemble over published versions; ``verdict`` says what it gains over its best member."""
    listed = [{"name": m.name, "version": m.version, "weights": dict(m.weights)} for m in members]
    shares = ", ".join(
        f"{m.name} {m.version} ({' / '.join(f'{head} {w:.1f}' for head, w in m.weights.items())})" for m in members
    )
    return Facts(
        name=name,
        description=f"Weighted mean of the calibrated logits of {shares}. {verdict}",
        architecture=Architecture(
            family="ensemble",
            parameters=sum(card.architecture.parameters for card in cards),
            config={"members": listed, "combination": f"{name}_combination"},
        ),
        input=cards[0].input,
        attribution=None,
        precision="FP32",
        limits=(*LIMITS, "No attribution graph is served for the ensemble; explain a member instead."),
    )


def draft_card(facts: Facts, number: int, heads: tuple[Head, ...], records: Records) -> ModelCard:
    """The card without metrics and artifacts: they are added when they exist."""
    return ModelCard(
        name=facts.name,
        version=number,
        description=facts.description,
        created=datetime.now(UTC).replace(microsecond=0),
        code_version=code_version(),
        architecture=facts.architecture,
        input=facts.input,
        heads=heads,
        attribution=facts.attribution,
        data=DataSource(
            name=records.name,
            citation=CITATION,
            licence=LICENCE,
            records=len(records),
            training_records=len(records.select(TRAINING_FOLDS)),
            training_folds=TRAINING_FOLDS,
            calibration_folds=(VALIDATION_FOLD,),
            sha256=records.digest(),
        ),
        calibration=calibration_of(len(records.select((VALIDATION_FOLD,)))),
        intended_use=INTENDED_USE,
        limits=facts.limits,
    )
