"""What the SDK answers with: frozen values, made from the wire messages and from nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.client._decision import (
    Decision,
    NearDuplicate,
    ThresholdShift,
    decision_of,
    near_duplicate_of,
    shifts_of,
)
from cardiomesh.client._routing import Model, Routing, model_of, routing_of


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement of the model."""

    code: str
    name: str
    name_pt: str
    snomed_ct: str
    probability: float
    threshold: float
    present: bool
    urgency: str
    kind: str
    #: "absent", "present", "both" (uncertain) or "none" (untypical) by conformal prediction; None where not stated.
    prediction_set: str | None = None
    #: "present", "absent" or "uncertain", from threshold and prediction set together; None where neither can be said.
    outcome: str | None = None
    #: The card's threshold; None where the gateway moves none.
    base_threshold: float | None = None
    #: Why ``threshold`` is not the card's.
    shifts: tuple[ThresholdShift, ...] = ()


@dataclass(frozen=True, slots=True)
class QualityReason:
    """Why a lead or a recording is not better."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LeadQuality:
    """Fitness of one lead."""

    lead: str
    grade: str
    score: float
    reasons: tuple[QualityReason, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """Fitness of the recording: grade "A", "B", "C" or "REJECT", score 0 to 1."""

    grade: str
    score: float
    leads: tuple[LeadQuality, ...]
    reasons: tuple[QualityReason, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement, such as ``intervals.qt``: "measured" with a value, or "absent" or "not_evaluable" and why."""

    key: str
    lead: str
    loinc: str
    value: float | None
    unit: str
    status: str
    reason: str
    #: Stable code of the reason, such as "HIDDEN_P", and the reason in Brazilian Portuguese.
    reason_code: str = ""
    reason_pt: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds inside the gateway, in all and per hop."""

    total_milliseconds: float
    hops: dict[str, float]


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What was found in the recording."""

    format: str
    leads: tuple[str, ...]
    ignored_leads: tuple[str, ...]
    derived_leads: tuple[str, ...]
    sampling_rate: float
    duration: float
    manufacturer: str
    device: str
    age_years: int | None
    sex: str | None
    #: As the device's clock said; without a zone, because devices state none.
    acquired_at: datetime | None
    #: What the decoder left out or found odd, by code.
    remarks: tuple[str, ...]
    #: Standard leads that are missing; only where the model's card allows it.
    missing_leads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedSignal:
    """The decoded signal, millivolts ``[leads, n]`` at its own rate."""

    leads: tuple[str, ...]
    sampling_rate: float
    millivolts: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer to one recording."""

    result_id: str
    model: Model
    findings: tuple[Finding, ...]
    quality: Quality
    recording: RecordingInfo
    preprocessing_version: str
    signal_hash: str
    tensor_hash: str
    window_starts: tuple[float, ...]
    from_cache: bool
    computed_at: datetime
    timing: Timing
    measurements: tuple[Measurement, ...] = field(default=(), repr=False)
    signal: RecordedSignal | None = field(default=None, repr=False)
    #: What a human must look at, and what first; None where the gateway does not decide.
    decision: Decision | None = None
    #: Whether this is the answer that was given before under the same idempotency key.
    replayed: bool = False
    #: The same recording answered before; None where the gateway was not asked to look.
    near_duplicate: NearDuplicate | None = None
    #: How the model was chosen; None where it is simply the one that was asked for, or the default.
    routing: Routing | None = None

    def measurement(self, key: str, lead: str = "") -> Measurement:
        """One measurement by its key; KeyError when it was not asked for or does not exist."""
        for found in self.measurements:
            if (found.key, found.lead) == (key, lead):
                return found
        raise KeyError(f"{key} {lead}".strip())

    @property
    def probabilities(self) -> dict[str, float]:
        """Calibrated probability of each statement, by code."""
        return {finding.code: finding.probability for finding in self.findings}

    @property
    def present(self) -> tuple[Finding, ...]:
        """The findings at or above their threshold: as the decision orders them, else the most probable first."""
        order = {code: k for k, code in enumerate(self.decision.order)} if self.decision else {}
        return tuple(
            sorted((f for f in self.findings if f.present), key=lambda f: (order.get(f.code, 0), -f.probability))
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it but the signal, as plain JSON types, under the attributes' own names."""
        plain = asdict(self)
        del plain["signal"]
        plain["computed_at"] = self.computed_at.isoformat()
        acquired = self.recording.acquired_at
        plain["recording"]["acquired_at"] = acquired.isoformat() if acquired else None
        return {"probabilities": self.probabilities, **plain}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One served version of one model."""

    model: Model
    description: str
    parameters: int
    finding_codes: tuple[str, ...]
    is_default: bool
    ready: bool


def _reasons(reasons: Any) -> tuple[QualityReason, ...]:
    return tuple(QualityReason(r.code, r.message) for r in reasons)


def quality_of(quality: types_pb2.Quality) -> Quality:
    """From the wire."""

    def grade(value: types_pb2.Grade.ValueType) -> str:
        return types_pb2.Grade.Name(value).removeprefix("GRADE_")

    leads = tuple(LeadQuality(q.lead, grade(q.grade), q.score, _reasons(q.reasons)) for q in quality.leads)
    return Quality(grade(quality.grade), quality.score, leads, _reasons(quality.reasons))


def _measurement(found: types_pb2.Measurement) -> Measurement:
    return Measurement(
        key=found.key,
        lead=found.lead,
        loinc=found.loinc,
        value=found.value if found.HasField("value") else None,
        unit=found.unit,
        status=_word(types_pb2.MeasurementStatus.Name(found.status), "MEASUREMENT_STATUS_"),
        reason=found.reason,
        reason_code=found.reason_code,
        reason_pt=found.reason_pt,
    )


def recording_info_of(info: types_pb2.RecordingInfo) -> RecordingInfo:
    """From the wire."""
    known_sex = info.patient.sex != types_pb2.SEX_UNSPECIFIED
    return RecordingInfo(
        format=info.format,
        leads=tuple(info.leads),
        ignored_leads=tuple(info.ignored_leads),
        derived_leads=tuple(info.derived_leads),
        sampling_rate=info.sampling_rate,
        duration=info.duration,
        manufacturer=info.device.manufacturer,
        device=info.device.model,
        age_years=info.patient.age_years if info.patient.HasField("age_years") else None,
        sex=_word(types_pb2.Sex.Name(info.patient.sex), "SEX_") if known_sex else None,
        acquired_at=info.acquired_at.ToDatetime() if info.HasField("acquired_at") else None,
        remarks=tuple(info.remarks),
        missing_leads=tuple(info.missing_leads),
    )


def _signal(signal: types_pb2.Signal) -> RecordedSignal:
    values = np.frombuffer(signal.samples, "<f4").reshape(len(signal.leads), -1)
    return RecordedSignal(tuple(signal.leads), signal.sampling_rate, values)


def analysis_of(answer: gateway_pb2.AnalyzeResponse) -> Analysis:
    """From the wire."""
    findings = tuple(
        Finding(
            code=f.code,
            name=f.name,
            name_pt=f.name_pt,
            snomed_ct=f.snomed_ct,
            probability=f.probability,
            threshold=f.threshold,
            present=f.present,
            urgency=_word(types_pb2.Urgency.Name(f.urgency), "URGENCY_"),
            kind=f.kind,
            prediction_set=_word(types_pb2.PredictionSet.Name(f.prediction_set), "PREDICTION_SET_")
            if f.prediction_set
            else None,
            outcome=_word(types_pb2.Outcome.Name(f.outcome), "OUTCOME_") if f.outcome else None,
            base_threshold=f.base_threshold or None,
            shifts=shifts_of(f),
        )
        for f in answer.findings
    )
    hops: dict[str, float] = {}
    for hop in answer.timing.hops:
        hops[hop.hop] = hops.get(hop.hop, 0.0) + hop.milliseconds
    return Analysis(
        result_id=answer.result_id,
        model=model_of(answer.model),
        findings=findings,
        quality=quality_of(answer.quality),
        recording=recording_info_of(answer.recording),
        preprocessing_version=answer.preprocessing_version,
        signal_hash=answer.signal_hash,
        tensor_hash=answer.tensor_hash,
        window_starts=tuple(answer.window_starts),
        from_cache=answer.from_cache,
        replayed=answer.replayed,
        computed_at=answer.computed_at.ToDatetime(UTC),
        timing=Timing(answer.timing.total_milliseconds, hops),
        measurements=tuple(map(_measurement, answer.measurements)),
        signal=_signal(answer.signal) if answer.HasField("signal") else None,
        decision=decision_of(answer.decision) if answer.HasField("decision") else None,
        near_duplicate=near_duplicate_of(answer.near_duplicate_of) if answer.HasField("near_duplicate_of") else None,
        routing=routing_of(answer.routing) if answer.HasField("routing") else None,
    )


def models_of(answer: gateway_pb2.ListModelsResponse) -> tuple[ModelInfo, ...]:
    """From the wire."""
    return tuple(
        ModelInfo(model_of(m.model), m.description, m.parameters, tuple(m.finding_codes), m.is_default, m.ready)
        for m in answer.models
    )
