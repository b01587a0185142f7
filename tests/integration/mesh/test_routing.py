"""Modes, what stands in, trials and the operator's commands, on real Triton."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from typer.testing import CliRunner

from benchmarks.version_switch import rehearse, wrong
from cardiomesh.chassis.service import RunningService
from cardiomesh.cli.main import app
from cardiomesh.client import API_KEY_VARIABLE, AsyncClient, ModelAdmin, Target
from cardiomesh.errors import InvalidRequest, PermissionDenied, Unavailable
from cardiomesh.local import Addresses
from gateway.identity import Role
from tests.conftest import ROOT
from tests.gateways import gateway

pytestmark = pytest.mark.mesh
EVERYTHING = frozenset({Role.CLINICIAN, Role.OPERATOR})


@pytest.fixture
async def service(addresses: Addresses, tmp_path: Path) -> AsyncIterator[RunningService]:
    """A gateway whose callers may everything, with a store and a table of its own."""
    (tmp_path / "key").write_bytes(b"k" * 32)
    store = {
        "store_url": f"sqlite:///{tmp_path / 'store.sqlite'}",
        "store_key": tmp_path / "key",
        "store_migrate": True,
    }
    async with gateway(addresses, anonymous_roles=EVERYTHING, **store) as running:
        yield running


async def test_modes_choose_and_another_model_stands_in_for_one_that_is_away(
    service: RunningService, addresses: Addresses, ecg_file: Path
) -> None:
    async with (
        AsyncClient(service.grpc_address, credential="") as client,
        grpc.aio.insecure_channel(addresses.triton) as channel,
    ):
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        plain = await client.analyze(file=ecg_file, model="ensemble")
        assert plain.routing is None
        fast = await client.analyze(file=ecg_file, inference_mode="fast")
        assert fast.routing is not None
        assert (fast.model.name, fast.routing.reason, fast.routing.asked_mode) == ("edge_optimized", "mode", "fast")
        with pytest.raises(InvalidRequest, match="mode"):
            await client.analyze(file=ecg_file, inference_mode="fast", model="ensemble")
        await triton.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name="ensemble"))
        try:
            # The gateway has not looked since: it finds out by asking, and asks the next.
            instead = await client.analyze(file=ecg_file, inference_mode="accurate", bypass_cache=True)
            assert instead.routing is not None
            assert (instead.model.name, instead.routing.reason) == ("hybrid_full", "fallback")
            assert instead.routing.intended.name == "ensemble"
            kept = await client.result(instead.result_id)
            assert kept.routing == instead.routing
            with pytest.raises(Unavailable):
                await client.analyze(file=ecg_file, model="ensemble", bypass_cache=True)
            allowed = await client.analyze(file=ecg_file, model="ensemble", allow_fallback=True, bypass_cache=True)
            assert allowed.model.name == "hybrid_full"
        finally:
            await triton.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name="ensemble"))


async def test_a_shadow_is_compared_and_every_decision_is_in_the_trail(
    service: RunningService, ecg_file: Path, tmp_path: Path
) -> None:
    with ModelAdmin(service.grpc_address, credential="") as admin:
        edge = Target("edge_optimized")
        route = await asyncio.to_thread(admin.set_shadow, "hybrid_mobile", edge, 1.0, "is it good enough?")
        assert (route.serving, route.shadow and route.shadow.share) == (Target("hybrid_mobile", 2), 1.0)
        async with AsyncClient(service.grpc_address, credential="") as client:
            answer = await client.analyze(file=ecg_file, bypass_cache=True)
            assert (answer.model.name, answer.routing) == ("hybrid_mobile", None)
        found = await asyncio.to_thread(admin.comparisons, "hybrid_mobile")
        while not found[0].compared:
            await asyncio.sleep(0.05)
            found = await asyncio.to_thread(admin.comparisons, "hybrid_mobile")
        assert (found[0].kind, found[0].candidate, len(found[0].statements)) == ("shadow", edge, 36)
        with pytest.raises(InvalidRequest, match="nothing to go back to"):
            await asyncio.to_thread(admin.rollback, "hybrid_mobile")
        route = await asyncio.to_thread(admin.set_shadow, "hybrid_mobile", edge, 0.0)
        assert route.shadow is None
    with sqlite3.connect(f"file:{tmp_path / 'store.sqlite'}?mode=ro", uri=True) as store:
        records = [json.loads(body) for (body,) in store.execute("SELECT body FROM audit ORDER BY seq")]
        (kept,) = store.execute("SELECT body FROM routes").fetchone()
    decisions = [r for r in records if r["method"].endswith(("/SetShadow", "/Rollback"))]
    assert [(r["outcome"], r["detail"]) for r in decisions] == [
        ("STARTED", "shadow at 1: edge_optimized (is it good enough?)"),
        ("OK", "shadow at 1: edge_optimized (is it good enough?)"),
        ("STARTED", "rollback"),
        ("INVALID_REQUEST", "rollback"),
        ("STARTED", "shadow at 0: edge_optimized"),
        ("OK", "shadow at 0: edge_optimized"),
    ]
    assert json.loads(kept)["revision"] == 2
    assert all("detail" not in r for r in records if r not in decisions)


async def test_the_commands_of_an_operator(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE)  # the mesh's own key is not this gateway's

    def run(*words: str) -> Any:
        outcome = CliRunner().invoke(app, ["models", *words, "--gateway", service.grpc_address, "--json"])
        assert outcome.exit_code == 0, outcome.output
        return json.loads(outcome.stdout)

    (route,) = (await asyncio.to_thread(run, "promote", "accurate", "hybrid_full", "--reason", "cheaper"))["routes"]
    assert (route["stable"], route["previous"]) == (
        {"model": "hybrid_full", "version": 0},
        {"model": "ensemble", "version": 0},
    )
    (route,) = (await asyncio.to_thread(run, "canary", "accurate", "ensemble", "--share", "5%"))["routes"]
    assert route["canary"]["share"] == 0.05
    (route,) = (await asyncio.to_thread(run, "rollback", "accurate"))["routes"]
    assert (route["canary"], route["stable"]["model"]) == (None, "hybrid_full")
    names = {route["name"] for route in (await asyncio.to_thread(run, "routes"))["routes"]}
    assert {"fast", "accurate", "hybrid_mobile"} <= names


def test_a_clinician_moves_no_traffic(addresses: Addresses, mesh: Any) -> None:
    with ModelAdmin(addresses.gateway, credential=mesh.api_key) as admin, pytest.raises(PermissionDenied):
        admin.promote("hybrid_mobile", Target("", 2))


def test_a_version_comes_and_goes_under_load_and_no_request_fails() -> None:
    steps = rehearse(ROOT / "model_repository", callers=2, seconds=1.5)
    assert wrong(steps) == []
