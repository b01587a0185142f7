"""What the table of faults has no room for: parts that are killed half-way through an explanation, and health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pydicom
import pytest
from aiohttp import ClientSession
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cardiomesh.client import AsyncClient, Explanation
from cardiomesh.errors import Unavailable
from tests.faults.bench import Bench, StoreKind
from tests.faults.books import KEY

pytestmark = pytest.mark.mesh

TIMEOUT_S = 10.0


@pytest.fixture
async def caller(bench: Bench) -> AsyncIterator[AsyncClient]:
    gateway = bench.gateway(StoreKind.SQLITE)
    async with AsyncClient(gateway.address, credential=KEY, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture(scope="module")
def microvolts(ecg_file: Path) -> np.ndarray:
    return np.ascontiguousarray(pydicom.dcmread(ecg_file).waveform_array(0).T)


async def until_answered(client: AsyncClient, signal_uv: np.ndarray) -> dict[str, float]:
    """Ask until the mesh answers again; the test's own time limit bounds it."""
    while True:
        try:
            answer = await client.analyze(signal=signal_uv, sampling_rate=1000, unit="uV", bypass_cache=True)
        except Unavailable:
            continue
        return answer.probabilities


async def gradients_given(bench: Bench) -> float:
    """How many attributions by the gradient the explainer has given, by its own metrics."""
    async with (
        ClientSession() as session,
        session.get(f"http://{bench.mesh.addresses.explainer_http}/metrics") as answer,
    ):
        lines = (await answer.text()).splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if "explanations" in line and "gradient_x_input" in line
    )


async def parts_until(caller: AsyncClient, bench: Bench, file: Path, victim: str) -> Explanation:
    """Ask for slow methods, and kill ``victim`` as soon as the first answer of the model is on its way."""
    while not (await caller.explain("NORM", file=file, methods=["gradient_x_input"])).attributions:
        pass  # until the explainer has found a Triton that was killed before
    before = await gradients_given(bench)
    methods = ["rules", "gradient_x_input", "integrated_gradients", "lime"]
    asked = asyncio.create_task(caller.explain("NORM", file=file, methods=methods, timeout=60))
    while await gradients_given(bench) == before and not asked.done():
        pass  # the test's own time limit bounds it
    await asyncio.to_thread(bench.kill, victim)
    return await asked


async def test_rules_need_no_triton(bench: Bench, caller: AsyncClient, ecg_file: Path, microvolts: np.ndarray) -> None:
    await until_answered(caller, microvolts)
    kept = await caller.analyze(file=ecg_file)
    bench.kill("triton")
    # A preprocessor that has never measured loads what it needs for it first.
    named = await caller.explain("SR", file=ecg_file, methods=["rules"], result_id=kept.result_id, timeout=60)
    assert named.rules is not None
    assert named.rules.rule("sinus_rhythm").state == "met"
    assert [held.agreement for held in named.rules.agreements] == ["supports"]  # with the prediction that was kept
    assert named.missing == ()
    await until_answered(caller, microvolts)


async def test_triton_killed_while_it_explains(
    bench: Bench, caller: AsyncClient, ecg_file: Path, microvolts: np.ndarray
) -> None:
    """What was done stays, what was not says why, and predictions come back as Triton does."""
    await until_answered(caller, microvolts)
    why = await parts_until(caller, bench, ecg_file, "triton")
    assert why.rules is not None
    assert next(part.method for part in why.attributions) == "gradient_x_input"
    assert {(part.method, part.reason) for part in why.missing} <= {
        ("integrated_gradients", "unavailable"),
        ("lime", "unavailable"),
    }
    assert why.missing
    assert await until_answered(caller, microvolts)


async def test_explainer_killed_while_it_explains(bench: Bench, caller: AsyncClient, ecg_file: Path) -> None:
    """The gateway says what is owed; analyses never notice."""
    why = await parts_until(caller, bench, ecg_file, "explainer")
    assert why.rules is not None
    assert "lime" in {part.method for part in why.missing if part.reason == "unavailable"}
    assert (await caller.analyze(file=ecg_file, bypass_cache=True)).probabilities


async def test_liveness_never_depends_on_triton(bench: Bench) -> None:
    gateway = bench.gateway(StoreKind.SQLITE)
    with bench.stopped("triton"):
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            alive = await stub.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=5)
            assert alive.status == health_pb2.HealthCheckResponse.SERVING
            async for state in stub.Watch(health_pb2.HealthCheckRequest(service="readiness"), timeout=30):
                if state.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                    break
