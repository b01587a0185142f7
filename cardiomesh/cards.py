"""The model card: everything clinical that is known about one version of one model.

``model_repository/NAME/VERSION/card.json`` is written by ``export`` beside the weights and read by the gateway
and the explainer. Classes, calibration, thresholds and the preprocessing version live here and nowhere else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cardiomesh.errors import CardioMeshError

__all__ = [
    "CARD_FILE",
    "VERDICT_FILE",
    "Architecture",
    "Artifact",
    "Calibration",
    "CardError",
    "CardStore",
    "DataSource",
    "Head",
    "Metric",
    "ModelCard",
    "ModelInput",
    "PredictionSet",
    "Statement",
    "StatementKind",
    "Urgency",
    "load_card",
]

CARD_FILE: Final = "card.json"
#: Beside the card, about it: what the explainer's fidelity harness found. Names the card's digest; no model loads it.
VERDICT_FILE: Final = "explanations.json"
#: 2 added each class's own line and prediction set; a card of version 1 has neither and is read as it always was.
SCHEMA_VERSION: Final = 2


class CardError(CardioMeshError):
    """A card is missing, unreadable, or does not describe the model beside it."""

    status = "FAILED_PRECONDITION"
    reason = "BAD_MODEL_CARD"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Urgency(StrEnum):
    """How soon a human must look, were the finding true."""

    NONE = "none"
    ROUTINE = "routine"
    URGENT = "urgent"
    CRITICAL = "critical"


class StatementKind(StrEnum):
    """Where a statement stands in the SCP-ECG hierarchy as PTB-XL uses it."""

    SUPERCLASS = "superclass"
    DIAGNOSTIC = "diagnostic"
    FORM = "form"
    RHYTHM = "rhythm"


class PredictionSet(StrEnum):
    """What cannot be ruled out about a finding at the card's conformal level."""

    ABSENT = "absent"
    PRESENT = "present"
    #: Both are plausible: uncertain.
    BOTH = "both"
    #: Neither is typical of the recordings the model was calibrated on.
    NONE = "none"


_SETS: Final = {
    (True, False): PredictionSet.ABSENT,
    (False, True): PredictionSet.PRESENT,
    (True, True): PredictionSet.BOTH,
    (False, False): PredictionSet.NONE,
}


class Statement(_Part):
    """One class of one head, in the order of the head's logits."""

    code: str = Field(description="SCP-ECG statement or PTB-XL superclass, e.g. NORM, MI, CLBBB.")
    name: str = Field(description="English name.")
    name_pt: str = Field(description="Brazilian Portuguese name.")
    kind: StatementKind
    snomed_ct: str | None = Field(default=None, description="SNOMED CT concept id where one is known.")
    urgency: Urgency = Urgency.ROUTINE
    threshold: float = Field(ge=0, le=1, description="Calibrated probability from which the finding is present.")
    threshold_rule: str = Field(description="The criterion that chose the threshold, and on which data.")
    training_positives: int = Field(ge=0, description="Positive recordings in the training folds.")
    scale: float = Field(default=1.0, gt=0, description="Slope of the class on the head's tempered logit.")
    bias: float = Field(default=0.0, description="Added to the scaled logit.")
    absent_to: float | None = Field(
        default=None, ge=0, le=1, description="Calibrated probability up to which absence cannot be ruled out."
    )
    present_from: float | None = Field(
        default=None, ge=0, le=1, description="Calibrated probability from which presence cannot be ruled out."
    )

    def prediction_set(self, probability: float) -> PredictionSet | None:
        """The conformal set at a calibrated ``probability``; None where the card states no limits."""
        if self.absent_to is None or self.present_from is None:
            return None
        return _SETS[probability <= self.absent_to, probability >= self.present_from]


class Head(_Part):
    """One output tensor of the model: float32 logits ``[batch, len(classes)]``."""

    output: str = Field(description="Name of the output tensor.")
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    temperature: float = Field(gt=0, description="Logits are divided by this before each class's own line.")
    classes: tuple[Statement, ...] = Field(min_length=1)

    def probabilities(self, logits: Sequence[float]) -> list[float]:
        """Calibrated probabilities, one per class, from one recording's logits."""
        scaled = [c.scale * x / self.temperature + c.bias for x, c in zip(logits, self.classes, strict=True)]
        if self.activation == "sigmoid":
            return [_sigmoid(x) for x in scaled]
        top = max(scaled)
        weights = [math.exp(x - top) for x in scaled]
        total = math.fsum(weights)
        return [w / total for w in weights]

    def logit_at(self, statement: Statement, probability: float) -> float:
        """The network's own logit of a class where its calibrated probability is this (sigmoid; between 0 and 1)."""
        calibrated = math.log(probability / (1.0 - probability))
        return (calibrated - statement.bias) * self.temperature / statement.scale


def _sigmoid(x: float) -> float:
    """The logistic function without overflow at either end."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


class ModelInput(_Part):
    """The one input tensor: float32 ``[batch, leads, samples]``."""

    name: str = "ecg"
    leads: tuple[str, ...]
    samples: int
    sampling_rate_hz: float
    unit: Literal["mV"] = "mV"
    preprocessing_version: str
    may_miss: tuple[Literal["V1", "V2", "V3", "V4", "V5", "V6"], ...] = Field(
        default=(),
        description="Precordial leads of which one may be missing: the model then sees zeros, as it did in training, "
        "and its metrics without it are published. Empty: a recording without all twelve is refused.",
    )


class Architecture(_Part):
    """What the network is."""

    family: str
    parameters: int = Field(gt=0, description="Trainable parameters of the served network.")
    config: dict[str, Any] = Field(default_factory=dict)


class DataSource(_Part):
    """What the network was trained, selected and calibrated on."""

    name: str
    citation: str
    licence: str
    records: int
    training_records: int | None = Field(default=None, description="Records of the training folds.")
    training_folds: tuple[int, ...]
    calibration_folds: tuple[int, ...]
    sha256: str = Field(description="Over the sorted (record id, labels) table that was used.")


class Calibration(_Part):
    """How probabilities and prediction sets were made, and on how much."""

    method: str = Field(description="How logits become probabilities.")
    conformal: str = Field(description="How the limits of the prediction sets were chosen.")
    level: float = Field(
        gt=0, lt=1, description="Share of recordings whose truth is in the set, per class and outcome."
    )
    records: int = Field(ge=1, description="Recordings of the calibration folds.")


class Metric(_Part):
    """One measured figure with its 95 % interval."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    data: str = Field(description="On which records it was measured.")
    command: str = Field(description="The command that prints it.")


class Artifact(_Part):
    """One file beside the card."""

    sha256: str
    bytes: int
    precision: str


class ModelCard(_Part):
    """The knowledge that travels with one version of one model."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    name: str
    version: int = Field(ge=1)
    description: str
    created: datetime
    code_version: str = Field(description="Version of the code that trained and exported it.")
    architecture: Architecture
    input: ModelInput
    heads: tuple[Head, ...] = Field(min_length=1)
    attribution: str | None = Field(default=None, description="Name of the served graph that explains this model.")
    data: DataSource
    calibration: Calibration | None = None
    metrics: tuple[Metric, ...] = ()
    artifacts: dict[str, Artifact] = Field(default_factory=dict)
    intended_use: str
    limits: tuple[str, ...] = Field(min_length=1)
    #: sha256 of the card's bytes; filled in by ``load_card``, never stored in the file.
    digest: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _codes_are_unique(self) -> ModelCard:
        codes = [s.code for s in self.statements]
        if len(set(codes)) != len(codes):
            raise ValueError("statement codes must be unique over all heads")
        return self

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All classes of all heads, in the order of their logits."""
        return tuple(s for head in self.heads for s in head.classes)


def load_card(path: Path) -> ModelCard:
    """Read one card; raises ``CardError`` with the reason when it cannot be trusted."""
    try:
        raw = path.read_bytes()
        card = ModelCard.model_validate_json(raw)
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise CardError(f"{path}: {where}: {first['msg']}") from error
    if path.parent.name.isdigit() and (int(path.parent.name), path.parent.parent.name) != (card.version, card.name):
        raise CardError(f"{path}: describes {card.name} version {card.version}, which is not where it lies")
    return card.model_copy(update={"digest": hashlib.sha256(raw).hexdigest()})


class CardStore:
    """The cards of one model repository, read when first needed. A published version never changes."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._cards: dict[tuple[str, int], ModelCard] = {}

    def path(self, name: str, version: int) -> Path:
        """Where the card of one version lies."""
        return self._repository / name / str(version) / CARD_FILE

    def get(self, name: str, version: int) -> ModelCard | None:
        """The card, or None where the version has none (the graphs that only explain have none)."""
        if Path(name).name != name:  # a name is one folder, never a way to another place
            return None
        key = (name, version)
        if key not in self._cards and self.path(name, version).is_file():
            self._cards[key] = load_card(self.path(name, version))
        return self._cards.get(key)
