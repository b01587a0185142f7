"""The preprocessor as its callers meet it: over real gRPC, with the chassis around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.priority import EXPLANATION, PRIORITY_HEADER
from cardiomesh.chassis.service import RunningService, running
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest, UnfitRecording
from cardiomesh.rpc.channel import dial
from cardiomesh.rpc.status import error_from_item, error_from_rpc
from preprocessor.__main__ import build
from preprocessor.settings import PreprocessorSettings
from tests.unit.preprocessor.recordings import heart


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def service(spans: InMemorySpanExporter) -> AsyncIterator[RunningService]:
    telemetry = Telemetry("preprocessor", span_processor=SimpleSpanProcessor(spans))
    settings = PreprocessorSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", decode_warm=False)
    async with running(settings, build(settings, telemetry), telemetry) as started:
        yield started
    telemetry.close()


async def prepare(service: RunningService, recording: types_pb2.Recording, **more: Any) -> Any:
    request = preprocessor_pb2.PrepareRequest(recording=recording, **more)
    async with dial(service.grpc_address) as channel:
        try:
            return await preprocessor_pb2_grpc.PreprocessorStub(channel).Prepare(request, timeout=30)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None


def signal(**changes: Any) -> types_pb2.Recording:
    fields: dict[str, Any] = {
        "leads": STANDARD_LEADS,
        "sampling_rate": 500.0,
        "unit": "uV",
        "sample_type": types_pb2.SAMPLE_TYPE_INT16,
        "samples": heart().tobytes(),
    }
    return types_pb2.Recording(signal=types_pb2.Signal(**{**fields, **changes}))


def file(content: bytes) -> types_pb2.Recording:
    return types_pb2.Recording(file=types_pb2.File(content=content))


async def test_a_signal_becomes_a_tensor(service: RunningService) -> None:
    recording = signal()
    recording.patient.age_years = 93
    recording.patient.sex = types_pb2.SEX_FEMALE
    recording.device.model = "One"
    recording.acquired_at.FromDatetime(datetime(2026, 5, 4, tzinfo=UTC))
    answer = await prepare(service, recording)
    assert np.frombuffer(answer.tensor, "<f4").shape == (12_000,)
    assert list(answer.window_starts) == [0.0]
    assert len(answer.tensor_hash) == len(answer.signal_hash) == 64
    assert answer.quality.grade == types_pb2.GRADE_A
    assert [lead.lead for lead in answer.quality.leads] == list(STANDARD_LEADS)
    assert answer.recording.format == "signal"
    assert answer.recording.duration == 10.0
    assert answer.recording.patient.age_years == 89
    assert answer.recording.patient.sex == types_pb2.SEX_FEMALE
    assert answer.recording.device.model == "One"
    assert answer.recording.acquired_at.ToDatetime().year == 2026
    assert not answer.HasField("signal")


async def test_what_is_for_an_explanation_goes_through_the_slow_lane(
    service: RunningService, spans: InMemorySpanExporter
) -> None:
    request = preprocessor_pb2.PrepareRequest(recording=signal())
    async with dial(service.grpc_address) as channel:
        stub = preprocessor_pb2_grpc.PreprocessorStub(channel)
        slow = await stub.Prepare(request, timeout=30, metadata=((PRIORITY_HEADER, EXPLANATION),))
        assert [span.name for span in spans.get_finished_spans()] == ["rpc.server"]
        assert await stub.Prepare(request, timeout=30) == slow


async def test_the_real_dicom_and_its_signal(service: RunningService, dicom_file: bytes) -> None:
    answer = await prepare(service, file(dicom_file), include_signal=True)
    assert answer.recording.format == "dicom"
    assert answer.signal.unit == "mV"
    assert np.frombuffer(answer.signal.samples, "<f4").reshape(12, -1).shape == (12, 10_000)
    again = await prepare(service, types_pb2.Recording(signal=answer.signal))
    assert again.signal_hash == answer.signal_hash
    assert again.tensor_hash == answer.tensor_hash


BAD: dict[str, tuple[Callable[[], types_pb2.Recording], type[InvalidRequest], str]] = {
    "nothing": (types_pb2.Recording, InvalidRequest, "EMPTY"),
    "empty file": (lambda: file(b""), InvalidRequest, "EMPTY"),
    "text file": (lambda: file(b"not an ECG at all\n" * 50), InvalidRequest, "UNKNOWN_FORMAT"),
    "unit m": (lambda: signal(unit="m"), InvalidRequest, "UNKNOWN_UNIT"),
    "no sample type": (lambda: signal(sample_type=0), InvalidRequest, "MISSING_SAMPLE_TYPE"),
    "odd length": (lambda: signal(samples=heart().tobytes()[:-1]), InvalidRequest, "WRONG_LENGTH"),
    "1 Hz": (lambda: signal(sampling_rate=1.0), InvalidRequest, "RATE_OUT_OF_RANGE"),
    "3 s": (lambda: signal(samples=heart(3.0).tobytes()), UnfitRecording, "TOO_SHORT"),
    "11 leads": (
        lambda: signal(leads=STANDARD_LEADS[:11], samples=heart()[:11].tobytes()),
        UnfitRecording,
        "MISSING_LEADS",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_a_typed_error_and_the_service_lives(service: RunningService, case: str) -> None:
    make, error, reason = BAD[case]
    with pytest.raises(error) as caught:
        await prepare(service, make())
    assert reason in [violation.reason for violation in caught.value.violations]
    assert (await prepare(service, signal())).tensor_hash


async def test_an_isolated_format_goes_through_a_worker(service: RunningService) -> None:
    table = ["time [s]," + ",".join(f"{lead} [uV]" for lead in STANDARD_LEADS)]
    table += [f"{k / 500:.3f}," + ",".join(map(str, row)) for k, row in enumerate(heart().T)]
    answer = await prepare(service, file("\n".join(table).encode()))
    assert answer.recording.format == "csv"
    assert answer.signal_hash == (await prepare(service, signal())).signal_hash


async def test_a_truncated_dicom(service: RunningService, dicom_file: bytes) -> None:
    with pytest.raises(InvalidRequest, match="send it whole"):
        await prepare(service, file(dicom_file[:100_000]))


async def test_many_at_once_answer_as_one_by_one_and_health_answers_meanwhile(service: RunningService) -> None:
    recordings = [signal(samples=heart(seed=k).tobytes()) for k in range(16)]
    alone = [(await prepare(service, r)).tensor_hash for r in recordings]
    burst = [asyncio.ensure_future(prepare(service, r)) for r in recordings]
    async with dial(service.grpc_address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="cardiomesh.preprocessor.v1.Preprocessor")
        assert (await health.Check(asked, timeout=10)).status == health_pb2.HealthCheckResponse.SERVING
    assert [answer.tensor_hash for answer in await asyncio.gather(*burst)] == alone


async def test_decoding_and_conditioning_are_spans_under_the_call(
    service: RunningService, spans: InMemorySpanExporter
) -> None:
    await prepare(service, signal())
    finished = {span.name: span for span in spans.get_finished_spans()}
    server = finished["rpc.server"]
    for name in ("prepare.decode", "prepare.condition"):
        parent = finished[name].parent
        assert parent is not None
        assert parent.span_id == server.context.span_id
    assert dict(finished["prepare.decode"].attributes or {}) == {"cardiomesh.format": "signal"}
    assert dict(finished["prepare.condition"].attributes or {})["cardiomesh.quality_grade"] == "A"


async def test_no_planted_identifier_leaves_in_an_error_or_a_span(
    service: RunningService, spans: InMemorySpanExporter, dicom_file: bytes
) -> None:
    planted = b"Zacharias^Q"
    damaged = dicom_file.replace(b"WAVE", planted[:4])[:3000].replace(b"Lead", planted[:4])
    recording = file(damaged + planted)
    recording.subject_ref = "subject-Wqzx"
    with pytest.raises(InvalidRequest) as caught:
        await prepare(service, recording)
    seen = str(caught.value) + repr(caught.value.violations) + repr([s.to_json() for s in spans.get_finished_spans()])
    assert "Zach" not in seen
    assert "Wqzx" not in seen


async def batch(
    service: RunningService, items: dict[str, types_pb2.Recording]
) -> dict[str, preprocessor_pb2.PrepareBatchResponse]:
    async def requests() -> AsyncIterator[preprocessor_pb2.PrepareBatchRequest]:
        for item_id, recording in items.items():
            request = preprocessor_pb2.PrepareRequest(recording=recording)
            yield preprocessor_pb2.PrepareBatchRequest(item_id=item_id, request=request)

    async with dial(service.grpc_address) as channel:
        answers = preprocessor_pb2_grpc.PreprocessorStub(channel).PrepareBatch(requests(), timeout=60)
        return {answer.item_id: answer async for answer in answers}


async def test_a_batch_answers_each_as_if_alone_and_bad_items_end_nothing(service: RunningService) -> None:
    good = {f"good {k}": signal(samples=heart(seed=k).tobytes()) for k in range(6)}
    bad = {f"bad {case}": make() for case, (make, _, _) in BAD.items()}
    mixed = dict(sorted({**good, **bad}.items(), key=lambda pair: pair[0][::-1]))
    answers = await batch(service, mixed)
    assert answers.keys() == mixed.keys()
    for item_id, recording in good.items():
        assert answers[item_id].response == await prepare(service, recording)
    for case, (_, error, reason) in BAD.items():
        refusal = error_from_item(answers[f"bad {case}"].error)
        assert type(refusal) is error
        assert reason in [violation.reason for violation in refusal.violations]


async def test_an_empty_batch_is_over_at_once(service: RunningService) -> None:
    assert await batch(service, {}) == {}


async def test_one_lead_may_be_missing_where_the_request_says_so(service: RunningService) -> None:
    eleven = signal(leads=STANDARD_LEADS[:11], samples=heart()[:11].tobytes())
    answer = await prepare(service, eleven, may_miss=["V5", "V6"], measure=True)
    assert list(answer.recording.missing_leads) == ["V6"]
    assert answer.quality.grade == types_pb2.GRADE_C
    measured = {(found.key, found.lead): found for found in answer.measurements}
    assert measured["voltages.r_v6", ""].status == types_pb2.MEASUREMENT_STATUS_NOT_EVALUABLE
    with pytest.raises(UnfitRecording, match="missing V6"):
        await prepare(service, eleven, may_miss=["V5"])
