"""What a human must look at, and what first, as the SDK answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import InvalidRequest

__all__ = [
    "SETTINGS",
    "CriticalFinding",
    "Decision",
    "NearDuplicate",
    "OverReadReason",
    "Setting",
    "ThresholdShift",
    "decision_of",
    "near_duplicate_of",
    "setting_value",
    "shifts_of",
]

#: Where a patient is seen; empty: not said.
Setting = Literal["", "emergency", "inpatient", "ambulatory"]
SETTINGS: Final[tuple[str, ...]] = get_args(Setting)


@dataclass(frozen=True, slots=True)
class ThresholdShift:
    """One documented rule that moved a threshold, and by how much in logit."""

    rule: str
    log_odds: float
    text: dict[str, str]


@dataclass(frozen=True, slots=True)
class OverReadReason:
    """One reason for a human to read the recording; ``subject`` is the finding or rule it is about, if any."""

    code: str
    subject: str
    text: dict[str, str]


@dataclass(frozen=True, slots=True)
class CriticalFinding:
    """One finding that cannot wait: a statement of the model, or a published criterion on the measurements."""

    code: str
    name: dict[str, str]
    urgency: str
    by_criterion: bool
    #: Never more than a thing to consider.
    consider: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gateway's decision layer says of an answer."""

    over_read: bool
    reasons: tuple[OverReadReason, ...]
    critical: tuple[CriticalFinding, ...]
    #: Codes of the findings that are present, most urgent first.
    order: tuple[str, ...]
    #: Whether the published criteria of critical findings were looked at: only where the recording was measured.
    criteria_checked: bool
    not_evaluable: tuple[str, ...]
    setting: str
    policy: str


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Whether the same recording was answered before in another form; the answer itself was computed as always."""

    looked_up: bool
    result_id: str
    similarity: float
    #: Why nothing was compared, by code.
    reason: str


def setting_value(setting: str) -> types_pb2.Setting.ValueType:
    """To the wire."""
    if setting not in SETTINGS:
        raise InvalidRequest.field("setting", f"is {setting!r}: say {', '.join(SETTINGS[1:])} or nothing", "UNKNOWN")
    return types_pb2.Setting.Value(f"SETTING_{setting.upper() or 'UNSPECIFIED'}")


def shifts_of(finding: types_pb2.Finding) -> tuple[ThresholdShift, ...]:
    """From the wire."""
    return tuple(ThresholdShift(s.rule, s.log_odds, {"en": s.text, "pt": s.text_pt}) for s in finding.shifts)


def decision_of(decision: gateway_pb2.Decision) -> Decision:
    """From the wire."""
    named = types_pb2.Setting.Name(decision.setting).removeprefix("SETTING_").lower()
    return Decision(
        over_read=decision.over_read,
        reasons=tuple(OverReadReason(r.code, r.subject, {"en": r.text, "pt": r.text_pt}) for r in decision.reasons),
        critical=tuple(
            CriticalFinding(
                c.code,
                {"en": c.name, "pt": c.name_pt},
                types_pb2.Urgency.Name(c.urgency).removeprefix("URGENCY_").lower(),
                c.by_criterion,
                c.consider,
            )
            for c in decision.critical
        ),
        order=tuple(decision.order),
        criteria_checked=decision.criteria_checked,
        not_evaluable=tuple(decision.not_evaluable),
        setting="" if named == "unspecified" else named,
        policy=decision.policy,
    )


def near_duplicate_of(found: gateway_pb2.NearDuplicate) -> NearDuplicate:
    """From the wire."""
    return NearDuplicate(found.looked_up, found.result_id, found.similarity, found.reason)
