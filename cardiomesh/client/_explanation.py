"""An explanation as the SDK gives it: its parts by method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.client._results import Attribution, attribution_of
from cardiomesh.client._rules import RuleEvaluation, rules_of
from cardiomesh.errors import InvalidRequest

__all__ = ["Explanation", "explanation_of", "method_of"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model answered what it answered; a part that was not asked for is None or empty."""

    rules: RuleEvaluation | None = None
    attributions: tuple[Attribution, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it but the arrays, as plain JSON types."""
        return {
            "rules": self.rules.to_dict() if self.rules else None,
            "attributions": [part.to_dict() for part in self.attributions],
        }


def explanation_of(parts: Iterable[explainer_pb2.ExplainResponse]) -> Explanation:
    """From the wire."""
    parts = tuple(parts)
    rules = [rules_of(part) for part in parts if part.WhichOneof("part") == "rules"]
    attributions = [attribution_of(part) for part in parts if part.WhichOneof("part") == "attribution"]
    return Explanation(rules[0] if rules else None, tuple(attributions))


def method_of(name: str) -> explainer_pb2.Method.ValueType:
    """The wire's value of a method such as "rules"; InvalidRequest for an unknown one."""
    try:
        return explainer_pb2.Method.Value(f"METHOD_{name.upper()}")
    except ValueError:
        known = ", ".join(m.removeprefix("METHOD_").lower() for m in explainer_pb2.Method.keys()[1:])
        raise InvalidRequest.field("methods", f"{name!r} is not one of {known}", "UNKNOWN") from None
