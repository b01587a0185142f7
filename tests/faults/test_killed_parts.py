"""Parts of a running mesh are killed; callers are told the truth, and it heals without a restart of anything else."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np
import pydicom
import pytest
from aiohttp import ClientSession
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis import Redis

from cardiomesh.client import AsyncClient, Explanation
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, Unavailable
from cardiomesh.local import Mesh, Restart
from tests.conftest import ROOT

pytestmark = pytest.mark.mesh

TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def own_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of this module's own, to be maltreated."""
    directory = tmp_path_factory.mktemp("faults")
    with Mesh(ROOT / "model_repository", directory=directory, restart=Restart.ALL) as mesh:
        yield mesh


@pytest.fixture
async def caller(own_mesh: Mesh) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(own_mesh.addresses.gateway, credential=own_mesh.api_key, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture(scope="module")
def microvolts(ecg_file: Path) -> np.ndarray:
    return np.ascontiguousarray(pydicom.dcmread(ecg_file).waveform_array(0).T)


def kill(mesh: Mesh, name: str) -> None:
    pid = mesh.status().processes[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def until_answered(client: AsyncClient, signal_uv: np.ndarray) -> dict[str, float]:
    """Ask until the mesh answers again; the test's own time limit bounds it."""
    while True:
        try:
            answer = await client.analyze(signal=signal_uv, sampling_rate=1000, unit="uV", bypass_cache=True)
        except Unavailable:
            continue
        return answer.probabilities


async def test_triton_killed_mid_load(own_mesh: Mesh, caller: AsyncClient, microvolts: np.ndarray) -> None:
    before = await until_answered(caller, microvolts)
    outcomes: list[CardioMeshError | None] = []
    loaded = asyncio.Event()

    async def load() -> None:
        """Call without a pause until the fault was seen and then healed."""
        while not (outcomes and outcomes[-1] is None and any(outcomes)):
            try:
                await caller.analyze(signal=microvolts, sampling_rate=1000, unit="uV", bypass_cache=True)
            except CardioMeshError as error:
                outcomes.append(error)
            else:
                outcomes.append(None)
            loaded.set()

    workers = [asyncio.create_task(load()) for _ in range(8)]
    await loaded.wait()
    await asyncio.to_thread(kill, own_mesh, "triton")
    await asyncio.gather(*workers)
    assert {type(error) for error in outcomes if error} == {Unavailable}
    assert await until_answered(caller, microvolts) == pytest.approx(before, abs=1e-6)
    assert own_mesh.status().processes["triton"].restarts >= 1


async def test_valkey_killed(own_mesh: Mesh, caller: AsyncClient, microvolts: np.ndarray) -> None:
    expected = (await caller.analyze(signal=microvolts, sampling_rate=1000, unit="uV")).probabilities
    await asyncio.to_thread(kill, own_mesh, "redis")
    for i in range(20):
        answer = await caller.analyze(signal=microvolts, sampling_rate=1000, unit="uV", bypass_cache=bool(i % 2))
        assert answer.probabilities == pytest.approx(expected, abs=1e-5)


async def test_valkey_stopped_in_its_tracks(own_mesh: Mesh, caller: AsyncClient, microvolts: np.ndarray) -> None:
    """A black hole: the socket accepts and nothing answers. One bounded wait, then the breaker."""
    with Redis.from_url(f"redis://{own_mesh.addresses.redis}/0", socket_timeout=60) as redis:
        redis.ping()
    pid = own_mesh.status().processes["redis"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(10):
            answer = await caller.analyze(signal=microvolts, sampling_rate=1000, unit="uV")
            assert not answer.from_cache
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_triton_stopped_in_its_tracks(own_mesh: Mesh, caller: AsyncClient, microvolts: np.ndarray) -> None:
    """A Triton that hangs costs the caller's deadline and no more."""
    await until_answered(caller, microvolts)
    pid = own_mesh.status().processes["triton"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises((DeadlineExceeded, Unavailable)):
            await caller.analyze(signal=microvolts, sampling_rate=1000, unit="uV", bypass_cache=True, timeout=1.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await until_answered(caller, microvolts)


async def test_the_explainer_is_not_needed_to_analyse(own_mesh: Mesh, caller: AsyncClient, ecg_file: Path) -> None:
    pid = own_mesh.status().processes["explainer"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert (await caller.analyze(file=ecg_file, bypass_cache=True)).probabilities
        with pytest.raises((DeadlineExceeded, Unavailable)):
            await caller.explain("NORM", file=ecg_file, timeout=1.0)
    finally:
        os.kill(pid, signal.SIGCONT)


async def gradients_given(mesh: Mesh) -> float:
    """How many attributions by the gradient the explainer has given, by its own metrics."""
    async with ClientSession() as session, session.get(f"http://{mesh.addresses.explainer_http}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if "explanations" in line and "gradient_x_input" in line
    )


async def parts_until(caller: AsyncClient, mesh: Mesh, file: Path, victim: str) -> Explanation:
    """Ask for slow methods, and kill ``victim`` as soon as the first answer of the model is on its way."""
    while not (await caller.explain("NORM", file=file, methods=["gradient_x_input"])).attributions:
        pass  # until the explainer has found a Triton that was killed before
    before = await gradients_given(mesh)
    methods = ["rules", "gradient_x_input", "integrated_gradients", "lime"]
    asked = asyncio.create_task(caller.explain("NORM", file=file, methods=methods, timeout=60))
    while await gradients_given(mesh) == before and not asked.done():
        pass  # the test's own time limit bounds it
    await asyncio.to_thread(kill, mesh, victim)
    return await asked


async def test_rules_need_no_triton(
    own_mesh: Mesh, caller: AsyncClient, ecg_file: Path, microvolts: np.ndarray
) -> None:
    await until_answered(caller, microvolts)
    kept = await caller.analyze(file=ecg_file)
    kill(own_mesh, "triton")
    named = await caller.explain("SR", file=ecg_file, methods=["rules"], result_id=kept.result_id)
    assert named.rules is not None
    assert named.rules.rule("sinus_rhythm").state == "met"
    assert [held.agreement for held in named.rules.agreements] == ["supports"]  # with the prediction that was kept
    assert named.missing == ()
    await until_answered(caller, microvolts)


async def test_triton_killed_while_it_explains(
    own_mesh: Mesh, caller: AsyncClient, ecg_file: Path, microvolts: np.ndarray
) -> None:
    """What was done stays, what was not says why, and predictions come back as Triton does."""
    await until_answered(caller, microvolts)
    why = await parts_until(caller, own_mesh, ecg_file, "triton")
    assert why.rules is not None
    assert next(part.method for part in why.attributions) == "gradient_x_input"
    assert {(part.method, part.reason) for part in why.missing} <= {
        ("integrated_gradients", "unavailable"),
        ("lime", "unavailable"),
    }
    assert why.missing
    assert await until_answered(caller, microvolts)


async def test_explainer_killed_while_it_explains(own_mesh: Mesh, caller: AsyncClient, ecg_file: Path) -> None:
    """The gateway says what is owed; analyses never notice."""
    why = await parts_until(caller, own_mesh, ecg_file, "explainer")
    assert why.rules is not None
    assert "lime" in {part.method for part in why.missing if part.reason == "unavailable"}
    assert (await caller.analyze(file=ecg_file, bypass_cache=True)).probabilities


async def test_liveness_never_depends_on_triton(own_mesh: Mesh) -> None:
    pid = own_mesh.status().processes["triton"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        async with grpc.aio.insecure_channel(own_mesh.addresses.gateway) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            alive = await stub.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=5)
            assert alive.status == health_pb2.HealthCheckResponse.SERVING
            async for state in stub.Watch(health_pb2.HealthCheckRequest(service="readiness"), timeout=30):
                if state.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                    break
    finally:
        os.kill(pid, signal.SIGCONT)
