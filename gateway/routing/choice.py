"""What a caller wants of the models, what was chosen, and how the answer says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2, routing_pb2
from cardiomesh.chassis.telemetry import Value
from cardiomesh.errors import Cancelled, CardioMeshError, DeadlineExceeded, InvalidRequest, Overloaded
from gateway.catalogue import Model
from gateway.routing.routes import Target

__all__ = ["Arm", "Beside", "Choice", "ModelFailed", "Wanted", "answering", "labels_of"]


class Arm(StrEnum):
    """Why a model sees a recording."""

    #: The caller named the version.
    PINNED = "pinned"
    #: It is what the name stands for.
    STABLE = "stable"
    #: It is on trial, and answers.
    CANARY = "canary"
    #: What was to answer could not.
    FALLBACK = "fallback"
    #: It is on trial, and is compared with the answer.
    SHADOW = "shadow"
    #: A canary answered, and is compared with it.
    REFERENCE = "reference"


_MODES: Final[Mapping[routing_pb2.InferenceMode.ValueType, str]] = {
    routing_pb2.INFERENCE_MODE_UNSPECIFIED: "",
    routing_pb2.INFERENCE_MODE_FAST: "fast",
    routing_pb2.INFERENCE_MODE_ACCURATE: "accurate",
}
_REASONS: Final = {
    Arm.FALLBACK: routing_pb2.ROUTING_REASON_FALLBACK,
    Arm.CANARY: routing_pb2.ROUTING_REASON_CANARY,
}


def labels_of(model: Model, arm: Arm) -> dict[str, Value]:
    """For metrics: a version, and why it sees recordings."""
    return {
        "cardiomesh.model": model.card.name,
        "cardiomesh.model_version": model.card.version,
        "cardiomesh.arm": arm.value,
    }


class ModelFailed(Exception):
    """The model itself could not answer; another one might. ``cause`` is what the caller hears otherwise."""

    def __init__(self, cause: CardioMeshError) -> None:
        super().__init__(cause.message)
        self.cause = cause


@contextmanager
def answering() -> Iterator[None]:
    """Make of an error of the model, or of Triton for it, a ModelFailed; lack of time or room is nobody's failure."""
    try:
        yield
    except (DeadlineExceeded, Cancelled, Overloaded):
        raise
    except CardioMeshError as error:
        raise ModelFailed(error) from error


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller asked for."""

    model: str = ""
    version: int = 0
    #: "fast", "accurate" or empty.
    mode: str = ""
    allow_fallback: bool = False

    @classmethod
    def of(cls, request: gateway_pb2.AnalyzeRequest) -> Wanted:
        """From the wire; InvalidRequest where it contradicts itself."""
        if request.inference_mode not in _MODES:
            raise InvalidRequest.field("inference_mode", "is not known here", "UNKNOWN")
        mode = _MODES[request.inference_mode]
        if mode and (request.model or request.model_version):
            raise InvalidRequest.field("inference_mode", "chooses the model; name a mode or a model", "CONFLICT")
        return cls(request.model, request.model_version, mode, request.allow_fallback)


@dataclass(frozen=True, slots=True)
class Beside:
    """Another model that is to see the tensor, after the answer and for no caller."""

    arm: Arm
    model: Model
    #: The name whose trial it belongs to.
    route: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One model for one recording."""

    wanted: Wanted
    model: Model
    arm: Arm
    #: The names in the routing table that led here; none where the caller named the version.
    routes: tuple[str, ...]
    #: What was to answer, by the table.
    intended: Model | Target
    beside: Beside | None = None
    #: What has failed at this recording already, by name and version.
    tried: frozenset[tuple[str, int]] = field(default=frozenset())

    @property
    def labels(self) -> dict[str, Value]:
        """For metrics."""
        return labels_of(self.model, self.arm)

    def disclose(self, answer: gateway_pb2.AnalyzeResponse) -> None:
        """Write into the answer how its model was chosen; nothing where it is simply the one that was asked for."""
        wanted = self.wanted
        reason = _REASONS.get(self.arm, routing_pb2.ROUTING_REASON_MODE if wanted.mode else None)
        answer.ClearField("routing")
        if reason is None:
            return
        mode = next(number for number, word in _MODES.items() if word == wanted.mode)
        answer.routing.MergeFrom(
            routing_pb2.Routing(
                asked_model=wanted.model,
                asked_version=wanted.version,
                asked_mode=mode,
                intended=self.intended.ref,
                answered_by=self.model.ref,
                reason=reason,
            )
        )
