"""Which model answered, and how it was chosen, as the SDK answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from cardiomesh._proto.gateway.v1 import routing_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import InvalidRequest

__all__ = ["MODES", "InferenceMode", "Model", "Routing", "mode_value", "model_of", "routing_of"]

#: What matters more, where no model is named.
InferenceMode = Literal["auto", "fast", "accurate"]
MODES: Final[tuple[str, ...]] = get_args(InferenceMode)
_MODES: Final = {
    "auto": routing_pb2.INFERENCE_MODE_UNSPECIFIED,
    "fast": routing_pb2.INFERENCE_MODE_FAST,
    "accurate": routing_pb2.INFERENCE_MODE_ACCURATE,
}


@dataclass(frozen=True, slots=True)
class Model:
    """Exactly which model answered."""

    name: str
    version: int
    card_digest: str


@dataclass(frozen=True, slots=True)
class Routing:
    """``reason``: "mode" chose the model, it is a "canary" on trial, or a "fallback" for what was ``intended``."""

    asked_model: str
    asked_version: int
    asked_mode: str
    intended: Model
    answered_by: Model
    reason: str


def mode_value(mode: InferenceMode) -> routing_pb2.InferenceMode.ValueType:
    """On the wire; InvalidRequest for a word that is none."""
    if mode not in _MODES:
        raise InvalidRequest.field("inference_mode", f"is not one of {', '.join(MODES)}", "UNKNOWN")
    return _MODES[mode]


def model_of(ref: types_pb2.ModelRef) -> Model:
    """From the wire."""
    return Model(ref.name, ref.version, ref.card_digest)


def routing_of(routing: routing_pb2.Routing) -> Routing:
    """From the wire."""
    return Routing(
        asked_model=routing.asked_model,
        asked_version=routing.asked_version,
        asked_mode=next((word for word, value in _MODES.items() if value == routing.asked_mode), "auto"),
        intended=model_of(routing.intended),
        answered_by=model_of(routing.answered_by),
        reason=routing_pb2.RoutingReason.Name(routing.reason).removeprefix("ROUTING_REASON_").lower(),
    )
