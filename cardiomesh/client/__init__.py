"""The Python SDK.

::

    from cardiomesh.client import Client

    with Client("localhost:50051") as client:
        result = client.analyze(file="ecg.dcm")
        print(result.probabilities["MI"], result.quality.grade, result.model)

Errors are those of ``cardiomesh.errors``, as the mesh raised them.
"""

from cardiomesh.client._admin import (
    Comparison,
    ModelAdmin,
    RollbackTest,
    Route,
    StatementComparison,
    Target,
    Trial,
)
from cardiomesh.client._batch import BatchItem
from cardiomesh.client._clients import DEFAULT_TIMEOUT_S, AsyncClient, Client
from cardiomesh.client._credentials import API_KEY_VARIABLE, Credential
from cardiomesh.client._decision import (
    SETTINGS,
    CriticalFinding,
    Decision,
    NearDuplicate,
    OverReadReason,
    Setting,
    ThresholdShift,
)
from cardiomesh.client._explanation import (
    METHODS,
    Attribution,
    Counterfactual,
    Explanation,
    Fidelity,
    Lime,
    LimeFeature,
    Missing,
    MovedMeasurement,
    Part,
    SegmentShare,
)
from cardiomesh.client._live import LiveAlarm, LiveEnd, LivePart, LiveSkipped, LiveStarted, LiveWindow
from cardiomesh.client._live_start import LiveArguments
from cardiomesh.client._long import (
    Extreme,
    FindingBurden,
    LongOverview,
    LongPart,
    LongSummary,
    LongWindow,
    RefusalCount,
)
from cardiomesh.client._overload import Priority
from cardiomesh.client._requests import RecordingArguments, read_file
from cardiomesh.client._results import (
    Analysis,
    Finding,
    LeadQuality,
    Measurement,
    ModelInfo,
    Quality,
    QualityReason,
    RecordedSignal,
    RecordingInfo,
    Timing,
)
from cardiomesh.client._routing import MODES, InferenceMode, Model, Routing
from cardiomesh.client._rules import Criterion, FindingAgreement, ReportLine, Rule, RuleEvaluation, Words
from cardiomesh.client._stream import AsyncLiveStream, LiveStream
from cardiomesh.rpc.channel import TlsFiles

__all__ = [
    "API_KEY_VARIABLE",
    "DEFAULT_TIMEOUT_S",
    "METHODS",
    "MODES",
    "SETTINGS",
    "Analysis",
    "AsyncClient",
    "AsyncLiveStream",
    "Attribution",
    "BatchItem",
    "Client",
    "Comparison",
    "Counterfactual",
    "Credential",
    "Criterion",
    "CriticalFinding",
    "Decision",
    "Explanation",
    "Extreme",
    "Fidelity",
    "Finding",
    "FindingAgreement",
    "FindingBurden",
    "InferenceMode",
    "LeadQuality",
    "Lime",
    "LimeFeature",
    "LiveAlarm",
    "LiveArguments",
    "LiveEnd",
    "LivePart",
    "LiveSkipped",
    "LiveStarted",
    "LiveStream",
    "LiveWindow",
    "LongOverview",
    "LongPart",
    "LongSummary",
    "LongWindow",
    "Measurement",
    "Missing",
    "Model",
    "ModelAdmin",
    "ModelInfo",
    "MovedMeasurement",
    "NearDuplicate",
    "OverReadReason",
    "Part",
    "Priority",
    "Quality",
    "QualityReason",
    "RecordedSignal",
    "RecordingArguments",
    "RecordingInfo",
    "RefusalCount",
    "ReportLine",
    "RollbackTest",
    "Route",
    "Routing",
    "Rule",
    "RuleEvaluation",
    "SegmentShare",
    "Setting",
    "StatementComparison",
    "Target",
    "ThresholdShift",
    "Timing",
    "TlsFiles",
    "Trial",
    "Words",
    "read_file",
]
