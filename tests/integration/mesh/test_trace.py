"""One Analyze is one tree of spans: client → gateway → preprocessor and Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import gateway.__main__ as gateway_main
import preprocessor.__main__ as preprocessor_main
from cardiomesh.chassis.schema import ATTRIBUTES, SPANS
from cardiomesh.chassis.service import running
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.client import AsyncClient
from cardiomesh.local import Addresses
from gateway.identity import Role
from gateway.settings import GatewaySettings
from preprocessor.settings import PreprocessorSettings
from tests.conftest import ROOT

pytestmark = pytest.mark.mesh

FREE: dict[str, Any] = {"grpc_address": "127.0.0.1:0", "http_address": "127.0.0.1:0"}


async def test_one_analysis_is_one_tree(addresses: Addresses, ecg_file: Path) -> None:
    spans = InMemorySpanExporter()
    telemetry = Telemetry("test", span_processor=SimpleSpanProcessor(spans))
    prepares = PreprocessorSettings(**FREE)
    async with running(prepares, preprocessor_main.build(prepares, telemetry), telemetry) as preparing:
        door = GatewaySettings(
            **FREE,
            triton_address=addresses.triton,
            preprocessor_address=preparing.grpc_address,
            redis_url=f"redis://{addresses.redis}/0",
            model_repository=ROOT / "model_repository",
            anonymous_roles=frozenset({Role.CLINICIAN}),
        )
        async with running(door, gateway_main.build(door, telemetry), telemetry) as service:
            await service.health.refresh()
            async with AsyncClient(
                service.grpc_address, credential="", tracer_provider=telemetry.tracer_provider
            ) as client:
                await client.analyze(file=ecg_file, bypass_cache=True, subject_ref="MRN-12345")
    telemetry.close()

    finished = {span.context.span_id: span for span in spans.get_finished_spans()}
    assert len({span.context.trace_id for span in finished.values()}) == 1

    def name(span: Any) -> str:
        facts = span.attributes
        return f"{span.name} {facts.get('cardiomesh.hop') or facts.get('rpc.service', '').split('.')[-1]}".strip()

    edges = {(name(finished[s.parent.span_id]) if s.parent else None, name(s)) for s in finished.values()}
    assert edges == {
        (None, "client.call"),
        ("client.call", "rpc.server CardioMesh"),
        ("rpc.server CardioMesh", "rpc.client preprocessor"),
        ("rpc.client preprocessor", "rpc.server Preprocessor"),
        ("rpc.server Preprocessor", "prepare.decode"),
        ("rpc.server Preprocessor", "prepare.condition"),
        ("rpc.server CardioMesh", "rpc.client triton"),
    }
    for span in finished.values():
        assert span.name in SPANS
        assert set(span.attributes) <= ATTRIBUTES.keys()
        assert "MRN" not in span.to_json()
