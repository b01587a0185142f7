"""The parts of an explanation as the SDK answers with them: frozen values, made from the wire messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.client._routing import Model, model_of
from cardiomesh.client._rules import RuleEvaluation, rules_of
from cardiomesh.errors import InvalidRequest

__all__ = [
    "METHODS",
    "Attribution",
    "Counterfactual",
    "Explanation",
    "Fidelity",
    "Lime",
    "LimeFeature",
    "Missing",
    "MovedMeasurement",
    "Part",
    "SegmentShare",
    "explanation_of",
    "method_of",
]

_PREFIX = "METHOD_"
#: In the order in which the parts come.
METHODS: tuple[str, ...] = tuple(name.removeprefix(_PREFIX).lower() for name in explainer_pb2.Method.keys()[1:])
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One figure of trust; ``scope`` is "explanation" (of this part) or "model" (from the fidelity harness)."""

    name: str
    value: float
    relation: str
    limit: float
    passed: bool
    scope: str


@dataclass(frozen=True, slots=True)
class SegmentShare:
    """A segment of the beat ("P", "PR", "QRS", "ST", "T", "TP") in one lead, or in all where ``lead`` is empty."""

    segment: str
    lead: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What every part says of itself."""

    method: str
    finding_code: str
    model: Model
    tensor_hash: str
    parameters: dict[str, str]
    fidelity: tuple[Fidelity, ...]
    compute_milliseconds: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; arrays stay out."""
        return {key: value for key, value in asdict(self).items() if not isinstance(value, np.ndarray)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution(Part):
    """Contribution of each sample to the finding's logit, ``[windows, leads, n]``; no leads: one row for all."""

    leads: tuple[str, ...]
    sampling_rate: float
    values: Floats = field(repr=False)
    window_starts: tuple[float, ...]
    probability: float
    lead_shares: dict[str, float]
    segments: tuple[SegmentShare, ...]
    #: Where most of it lies, by language.
    summary: dict[str, str]
    prediction_gap: float

    def at(self, sampling_rate: float, samples: int, start: float = 0.0) -> Floats:
        """On the recording's own time axis: ``[leads, samples]`` at ``sampling_rate`` Hz from ``start`` seconds on.

        Windows that overlap add up, values in between are interpolated, and what no window covers is zero.
        """
        times = start + np.arange(samples) / sampling_rate
        on_axis = np.zeros((self.values.shape[1], samples), np.float32)
        for begin, window in zip(self.window_starts, self.values, strict=True):
            own = begin + np.arange(window.shape[1]) / self.sampling_rate
            on_axis += np.stack([np.interp(times, own, row, left=0.0, right=0.0) for row in window])
        return on_axis


@dataclass(frozen=True, slots=True)
class LimeFeature:
    """What the logit loses when one segment has an average heart's shape in one group of leads."""

    segment: str
    group: str
    leads: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lime(Part):
    """The local linear model, the strongest feature first."""

    features: tuple[LimeFeature, ...]
    summary: dict[str, str]


@dataclass(frozen=True, slots=True)
class MovedMeasurement:
    """A measurement on the model's tensor and on the counterfactual."""

    key: str
    lead: str
    unit: str
    before: float
    after: float
    tolerances: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual(Part):
    """The smallest plausible change that flips the finding; ``values`` ``[windows, leads, n]`` mV, None when none."""

    found: bool
    probability_before: float
    probability_after: float
    threshold: float
    values: Floats | None = field(repr=False)
    leads: tuple[str, ...]
    sampling_rate: float
    window_starts: tuple[float, ...]
    energy_changed: float
    segments: tuple[SegmentShare, ...]
    moved: tuple[MovedMeasurement, ...]
    summary: dict[str, str]
    #: The typical beat, recorded and changed, mV ``[leads, m]``; None when none was found.
    beat_before: Floats | None = field(repr=False)
    beat_after: Floats | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing(Part):
    """A part that could not be made: "deadline", "unavailable", "switched_off", "not_applicable" and so on."""

    reason: str
    text: dict[str, str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model answered what it answered, by kind of part; within a kind in the order in which they came."""

    rules: RuleEvaluation | None = None
    attributions: tuple[Attribution, ...] = ()
    limes: tuple[Lime, ...] = ()
    counterfactuals: tuple[Counterfactual, ...] = ()
    #: What was asked for and could not be done.
    missing: tuple[Missing, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it but the arrays, as plain JSON types."""
        return {
            "rules": self.rules.to_dict() if self.rules else None,
            "attributions": [part.to_dict() for part in self.attributions],
            "limes": [part.to_dict() for part in self.limes],
            "counterfactuals": [part.to_dict() for part in self.counterfactuals],
            "missing": [part.to_dict() for part in self.missing],
        }


def method_of(name: str) -> explainer_pb2.Method.ValueType:
    """The wire's value of a method such as "lime"; InvalidRequest for an unknown one."""
    if name not in METHODS:
        raise InvalidRequest.field("methods", f"{name!r} is not one of {', '.join(METHODS)}", "UNKNOWN")
    return explainer_pb2.Method.Value(_PREFIX + name.upper())


def _texts(text: explainer_pb2.Text) -> dict[str, str]:
    return {"en": text.en, "pt": text.pt}


def explanation_of(parts: Iterable[explainer_pb2.ExplainResponse]) -> Explanation:
    """From the wire."""
    by_kind: dict[str, list[explainer_pb2.ExplainResponse]] = {}
    for part in parts:
        by_kind.setdefault(part.WhichOneof("part") or "", []).append(part)
    rules = [rules_of(part) for part in by_kind.get("rules", [])]
    return Explanation(
        rules=rules[0] if rules else None,
        attributions=tuple(_attribution(part.attribution, _common(part)) for part in by_kind.get("attribution", [])),
        limes=tuple(_lime(part.lime, _common(part)) for part in by_kind.get("lime", [])),
        counterfactuals=tuple(
            _counterfactual(part.counterfactual, _common(part)) for part in by_kind.get("counterfactual", [])
        ),
        missing=tuple(_missing(part.missing, _common(part)) for part in by_kind.get("missing", [])),
    )


def _common(part: explainer_pb2.ExplainResponse) -> dict[str, Any]:
    return {
        "method": explainer_pb2.Method.Name(part.method).removeprefix(_PREFIX).lower(),
        "finding_code": part.finding_code,
        "model": model_of(part.model),
        "tensor_hash": part.tensor_hash,
        "parameters": dict(part.parameters),
        "fidelity": tuple(Fidelity(f.name, f.value, f.relation, f.limit, f.passed, f.scope) for f in part.fidelity),
        "compute_milliseconds": part.compute_milliseconds,
    }


def _lime(found: explainer_pb2.Lime, common: dict[str, Any]) -> Lime:
    features = tuple(LimeFeature(f.segment, f.group, tuple(f.leads), f.weight) for f in found.features)
    return Lime(features=features, summary=_texts(found.summary), **common)


def _missing(found: explainer_pb2.Missing, common: dict[str, Any]) -> Missing:
    reason = explainer_pb2.MissingReason.Name(found.reason).removeprefix("MISSING_REASON_").lower()
    return Missing(reason=reason, text=_texts(found.text), **common)


def _segments(shares: Any) -> tuple[SegmentShare, ...]:
    return tuple(SegmentShare(s.segment, s.lead, s.share) for s in shares)


def _attribution(found: explainer_pb2.Attribution, common: dict[str, Any]) -> Attribution:
    shape = (len(found.window_starts), len(found.leads) or 1, -1)
    return Attribution(
        leads=tuple(found.leads),
        sampling_rate=found.sampling_rate,
        values=np.frombuffer(found.values, "<f4").reshape(shape),
        window_starts=tuple(found.window_starts),
        probability=found.probability,
        lead_shares=dict(zip(found.leads, found.lead_shares, strict=True)),
        segments=_segments(found.segments),
        summary=_texts(found.summary),
        prediction_gap=found.prediction_gap,
        **common,
    )


def _counterfactual(found: explainer_pb2.Counterfactual, common: dict[str, Any]) -> Counterfactual:
    shape = (len(found.window_starts), len(found.leads), -1)
    return Counterfactual(
        found=found.found,
        probability_before=found.probability_before,
        probability_after=found.probability_after,
        threshold=found.threshold,
        values=np.frombuffer(found.values, "<f4").reshape(shape) if found.values else None,
        leads=tuple(found.leads),
        sampling_rate=found.sampling_rate,
        window_starts=tuple(found.window_starts),
        energy_changed=found.energy_changed,
        segments=_segments(found.segments),
        moved=tuple(MovedMeasurement(m.key, m.lead, m.unit, m.before, m.after, m.tolerances) for m in found.moved),
        summary=_texts(found.summary),
        beat_before=_beat(found.beat_before, len(found.leads)),
        beat_after=_beat(found.beat_after, len(found.leads)),
        **common,
    )


def _beat(packed: bytes, leads: int) -> Floats | None:
    return np.frombuffer(packed, "<f4").reshape(leads, -1) if packed else None
