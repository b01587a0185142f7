"""Valid requests of every RPC, and what becomes of them when somebody breaks them on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from pydicom.data import get_testdata_file
from tritonclient.grpc import service_pb2

from cardiomesh._proto.gateway.v1 import gateway_pb2, model_admin_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.leads import STANDARD_LEADS
from tests.unit.preprocessor.long.tapes import as_ishne, tape
from tests.unit.preprocessor.recordings import heart

__all__ = ["METHODS", "STREAMS", "Pick", "broken", "seeds"]

#: A number from 0 up to the one given, less one: how a mutation asks what to do.
Pick = Callable[[int], int]
Requests = Sequence[bytes]

_SERVICES: Final = (
    *gateway_pb2.DESCRIPTOR.services_by_name.values(),
    *model_admin_pb2.DESCRIPTOR.services_by_name.values(),
    service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
)
#: Full method → the message it takes.
METHODS: Final[Mapping[str, type[Message]]] = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for service in _SERVICES
    for method in service.methods
}

#: Methods that take a stream. The others get at least one message: grpc.aio leaves a unary call without one to its
#: deadline, before any handler of ours is asked.
STREAMS: Final = frozenset(
    f"/{service.full_name}/{method.name}"
    for service in _SERVICES
    for method in service.methods
    if method.client_streaming
)

_NUMBERS: Final = (0, 1, -1, 7, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
_FLOATS: Final = (0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf, 0.5, 1e6)
_TEXTS: Final = ("", "x", "\0", "é" * 200, "A" * 10_000, "../../etc/passwd", "II", "NORM", "hybrid_mobile", "%s{0}")
_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


def seeds() -> Mapping[str, list[Requests]]:
    """Requests that each method can answer, as a stream of one or more."""
    mesh = "/cardiomesh.gateway.v1.CardioMesh/"
    kserve = "/inference.GRPCInferenceService/"
    counts = heart(10.0)
    signal = types_pb2.Signal(
        leads=STANDARD_LEADS, sampling_rate=500, unit="uV", sample_type=1, samples=counts.astype("<i2").tobytes()
    )
    patient = types_pb2.Patient(age_years=60, sex=types_pb2.SEX_FEMALE)
    numbers = types_pb2.Recording(signal=signal, patient=patient, subject_ref="s")
    dicom = Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes()
    file = types_pb2.Recording(file=types_pb2.File(content=dicom, format_hint="dicom"))
    analyses = [
        gateway_pb2.AnalyzeRequest(recording=numbers, measure=True),
        gateway_pb2.AnalyzeRequest(recording=file, model="edge_optimized", include_signal=True),
    ]
    batch = [gateway_pb2.AnalyzeBatchRequest(item_id=str(k), request=request) for k, request in enumerate(analyses)]
    content = as_ishne(tape(25.0))
    long: list[Message] = [gateway_pb2.AnalyzeLongRequest(start=gateway_pb2.AnalyzeLongStart(stride=5.0))]
    long += [gateway_pb2.AnalyzeLongRequest(chunk=content[k : k + 65_536]) for k in range(0, len(content), 65_536)]
    start = gateway_pb2.AnalyzeStreamStart(
        leads=STANDARD_LEADS, sampling_rate=500, unit="uV", sample_type=1, order=gateway_pb2.SAMPLE_ORDER_INTERLEAVED
    )
    live: list[Message] = [gateway_pb2.AnalyzeStreamRequest(start=start)]
    for first in range(0, counts.shape[1], 1_000):
        samples = counts[:, first : first + 1_000].T.astype("<i2").tobytes()
        live.append(
            gateway_pb2.AnalyzeStreamRequest(chunk=gateway_pb2.AnalyzeStreamChunk(first_sample=first, samples=samples))
        )
    infer = service_pb2.ModelInferRequest(model_name="edge_optimized", id="1")
    infer.inputs.add(name="ecg", datatype="FP32", shape=[1, 12, 1000])
    infer.outputs.add(name="statements")
    infer.raw_input_contents.append(bytes(48_000))
    named = {
        mesh + "Analyze": [[request] for request in analyses],
        mesh + "AnalyzeBatch": [batch],
        mesh + "AnalyzeLong": [long],
        mesh + "AnalyzeStream": [live],
        mesh + "Explain": [[gateway_pb2.ExplainRequest(recording=numbers, finding_codes=["NORM"], methods=[1])]],
        mesh + "GetModelCard": [[gateway_pb2.GetModelCardRequest(model="hybrid_mobile")]],
        kserve + "ModelInfer": [[infer]],
        kserve + "ModelStreamInfer": [[infer, infer]],
    }
    for name in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
        named[kserve + name] = [[METHODS[kserve + name](name="edge_optimized")]]
    return {
        method: [[request.SerializeToString() for request in requests] for requests in named.get(method, [[kind()]])]
        for method, kind in METHODS.items()
    }


def broken(requests: Requests, kind: type[Message], pick: Pick) -> list[bytes]:
    """The requests with one to four faults: in a message's fields, in its bytes, or in the order of the stream."""
    sent = list(requests)
    for _ in range(1 + pick(4)):
        where = pick(max(1, len(sent)))
        fault = pick(8)
        if not sent or fault == 0:
            sent.insert(where, bytes(pick(256) for _ in range(pick(64))))
        elif fault == 1:
            sent.insert(where, sent[pick(len(sent))])
        elif fault == 2:
            del sent[where]
        elif fault in (3, 4):
            sent[where] = _damaged(sent[where], pick)
        else:
            sent[where] = _twisted(sent[where], kind, pick)
    return sent[:16]


def _damaged(message: bytes, pick: Pick) -> bytes:
    """A few bytes changed, cut, or put in; mostly at the front, where the structure is."""
    data = bytearray(message)
    at = pick(max(1, min(len(data), 256 if pick(2) else len(data) + 1)))
    size = 1 + pick(16)
    fault = pick(4)
    if fault == 0 and at < len(data):
        data[at] = pick(256)
    elif fault == 1:
        del data[at : at + size]
    elif fault == 2:
        data[at:at] = bytes(pick(256) for _ in range(size))
    else:
        del data[at:]
    return bytes(data)


def _twisted(message: bytes, kind: type[Message], pick: Pick) -> bytes:
    """A message of the right form with a value in it that nobody expects."""
    try:
        twisted = kind.FromString(message)
    except DecodeError:
        return _damaged(message, pick)
    at: Any = twisted
    while True:
        fields: Sequence[FieldDescriptor] = at.DESCRIPTOR.fields
        if not fields:
            return message
        field = fields[pick(len(fields))]
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            break
        if field.is_repeated:
            values = getattr(at, field.name)
            if len(values) and pick(2):
                at = values[pick(len(values))]
                continue
            _each(values, field, pick)
            return bytes(twisted.SerializeToString())
        if pick(8) == 0:
            at.ClearField(field.name)
            return bytes(twisted.SerializeToString())
        at = getattr(at, field.name)
        at.SetInParent()
    if field.message_type is not None:
        at.ClearField(field.name)
    elif field.is_repeated:
        _each(getattr(at, field.name), field, pick)
    else:
        setattr(at, field.name, _value(field, pick, getattr(at, field.name)))
    return bytes(twisted.SerializeToString())


def _each(values: Any, field: FieldDescriptor, pick: Pick) -> None:
    """Too many of a repeated field, none, or odd ones."""
    choice = pick(3)
    if choice == 0:
        del values[:]
    elif choice == 1 and len(values):
        values.extend([values[pick(len(values))]] * (1 + pick(300)))
    elif field.message_type is not None:
        values.add()
    else:
        values.extend(_value(field, pick, None) for _ in range(1 + pick(3)))


def _value(field: FieldDescriptor, pick: Pick, now: Any) -> Any:
    if field.cpp_type in _RANGES:
        low, high = _RANGES[field.cpp_type]
        return min(max(_choice(_NUMBERS, pick), low), high)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return _choice(_FLOATS, pick)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return bool(pick(2))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _damaged(now, pick) if now else bytes(pick(256) for _ in range(pick(64)))
    return _choice(_TEXTS, pick)


def _choice(values: Iterable[Any], pick: Pick) -> Any:
    listed = tuple(values)
    return listed[pick(len(listed))]
