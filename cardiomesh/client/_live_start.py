"""From what a caller says of a live recording to its start on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypedDict

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.client._decision import Setting, setting_value
from cardiomesh.client._outbox import Outbox
from cardiomesh.client._requests import Sex
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest

__all__ = ["LiveArguments", "live_outbox"]

_SAMPLE_TYPES: Final = {"int16": types_pb2.SAMPLE_TYPE_INT16, "float32": types_pb2.SAMPLE_TYPE_FLOAT32}
_SEXES: Final = {"female": types_pb2.SEX_FEMALE, "male": types_pb2.SEX_MALE}


class LiveArguments(TypedDict, total=False):
    """How callers describe a live recording, beside its rate."""

    #: Names in the order of the chunks; the twelve in standard order when left out.
    leads: Sequence[str]
    #: UCUM code: "mV" (the default), "uV" or "V".
    unit: str
    #: How samples travel: "float32" (the default) or "int16".
    sample_type: Literal["int16", "float32"]
    #: Physical value of one count, in the unit.
    scale: float
    #: Seconds from one window to the next, at least 1; ten when left out.
    stride: float
    #: "wait": every window is answered, and ``send`` waits. "skip": ``send`` never waits, and old windows are given up.
    when_behind: Literal["wait", "skip"]
    model: str
    model_version: int
    #: Also return each window's measurements.
    measure: bool
    #: Beats per minute below and from which an alarm is raised.
    slow_below: float
    fast_from: float
    #: Evaluable windows in a row without it that clear an alarm.
    clear_after: int
    subject_ref: str
    age_years: int
    sex: Sex
    setting: Setting


def live_outbox(sampling_rate: float, arguments: LiveArguments, unsent_seconds: float) -> Outbox:
    """A checked start with nothing sent; what only the mesh can know is refused by the mesh."""
    sample_type = arguments.get("sample_type", "float32")
    if sample_type not in _SAMPLE_TYPES:
        raise InvalidRequest.field("sample_type", "is neither 'int16' nor 'float32'", "UNKNOWN")
    when_behind = arguments.get("when_behind", "wait")
    if when_behind not in ("wait", "skip"):
        raise InvalidRequest.field("when_behind", "is neither 'wait' nor 'skip'", "UNKNOWN")
    start = gateway_pb2.AnalyzeStreamStart(
        leads=arguments.get("leads", STANDARD_LEADS),
        sampling_rate=sampling_rate,
        unit=arguments.get("unit", "mV"),
        sample_type=_SAMPLE_TYPES[sample_type],
        scale=arguments.get("scale"),
        order=gateway_pb2.SAMPLE_ORDER_INTERLEAVED,
        stride=arguments.get("stride", 0.0),
        when_behind=gateway_pb2.WHEN_BEHIND_SKIP if when_behind == "skip" else gateway_pb2.WHEN_BEHIND_WAIT,
        model=arguments.get("model", ""),
        model_version=arguments.get("model_version", 0),
        subject_ref=arguments.get("subject_ref", ""),
        setting=setting_value(arguments.get("setting", "")),
        measure=arguments.get("measure", False),
        rate_limits=gateway_pb2.RateLimits(low=arguments.get("slow_below"), high=arguments.get("fast_from")),
        clear_after=arguments.get("clear_after", 0),
    )
    age_years, sex = arguments.get("age_years"), arguments.get("sex")
    if age_years is not None:
        start.patient.age_years = age_years
    if sex is not None:
        start.patient.sex = _SEXES[sex]
    return Outbox(start, unsent_seconds)
