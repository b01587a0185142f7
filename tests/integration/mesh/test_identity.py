"""The real door: who gets in, by which proof, and what tenants see of each other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import tritonclient.grpc as triton
import trustme
from tritonclient.utils import InferenceServerException

from cardiomesh.chassis.service import RunningService
from cardiomesh.client import AsyncClient, Client, TlsFiles
from cardiomesh.errors import NotFound, PermissionDenied, Unauthenticated
from cardiomesh.local import Addresses
from gateway.identity.directory import digest_of
from tests.gateways import gateway

pytestmark = pytest.mark.mesh

KEYS = {"north": ("clinician",), "south": ("clinician",), "reader": ("reader",), "operator": ("operator",)}


@pytest.fixture
def identities(tmp_path: Path) -> Path:
    """Each name is its own key; ``north`` and ``reader`` are of one tenant."""
    path = tmp_path / "identities.json"
    keys = [
        {"name": name, "sha256": digest_of(name), "tenant": "south" if name == "south" else "north", "roles": roles}
        for name, roles in KEYS.items()
    ]
    pacs = {"name": "pacs", "subject": "pacs.north.example", "tenant": "north", "roles": ["clinician"]}
    path.write_text(json.dumps({"keys": keys, "certificates": [pacs]}))
    return path


@pytest.fixture
def content(ecg_file: Path) -> bytes:
    return ecg_file.read_bytes()


def as_(service: RunningService, name: str, tls: TlsFiles | None = None) -> AsyncClient:
    return AsyncClient(service.grpc_address, credential=name, tls=tls)


async def test_without_a_known_key_nothing_is_told(addresses: Addresses, identities: Path, ecg_file: Path) -> None:
    async with gateway(addresses, identities=identities) as service:
        for shown in ("", "cmk_wrong", "a.b.c"):
            async with as_(service, shown) as client:
                with pytest.raises(Unauthenticated):
                    await client.analyze(file=ecg_file)
                with pytest.raises(Unauthenticated):
                    await client.models()
        async with grpc.aio.insecure_channel(service.grpc_address) as channel:
            basic = channel.unary_unary("/cardiomesh.gateway.v1.CardioMesh/ListModels")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await basic(b"", metadata=(("authorization", "Basic bm9ydGg="),))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_gateway_that_was_told_nothing_is_closed(addresses: Addresses) -> None:
    async with gateway(addresses) as service, as_(service, "north") as client:
        with pytest.raises(Unauthenticated):
            await client.models()


async def test_roles_decide(addresses: Addresses, identities: Path, ecg_file: Path) -> None:
    async with gateway(addresses, identities=identities) as service:
        async with as_(service, "north") as clinician, as_(service, "reader") as reader:
            answer = await clinician.analyze(file=ecg_file)
            assert (await reader.result(answer.result_id)).result_id == answer.result_id
            with pytest.raises(PermissionDenied, match="clinician"):
                await reader.analyze(file=ecg_file)
        async with as_(service, "operator") as operator:
            assert await operator.models()
            with pytest.raises(PermissionDenied):
                await operator.result(answer.result_id)


async def test_a_tenant_never_sees_the_answers_of_another(
    addresses: Addresses, identities: Path, ecg_file: Path
) -> None:
    async with (
        gateway(addresses, identities=identities) as service,
        as_(service, "north") as north,
        as_(service, "south") as south,
    ):
        first = await north.analyze(file=ecg_file)
        assert (await north.analyze(file=ecg_file)).from_cache
        other = await south.analyze(file=ecg_file)
        assert other.result_id != first.result_id
        with pytest.raises(NotFound):
            await south.result(first.result_id)


async def test_http_is_closed_in_the_same_way(addresses: Addresses, identities: Path, content: bytes) -> None:
    async with (
        gateway(addresses, identities=identities) as service,
        aiohttp.ClientSession(f"http://{service.http_address}") as http,
    ):
        for headers, status in (
            ({}, 401),
            ({"X-API-Key": "wrong"}, 401),
            ({"X-API-Key": "reader"}, 403),
            ({"X-API-Key": "north"}, 200),
            ({"Authorization": "Bearer north"}, 200),
        ):
            async with http.post("/v1/analyze", data=content, headers=headers) as answer:
                assert answer.status == status
                assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        open_or_not = {"/metrics": 200, "/healthz": 200, "/v2/models/hybrid_mobile": 401, "/nothing": 404}
        for path, status in open_or_not.items():
            async with http.get(path) as answer:
                assert answer.status == status, path


async def test_administration_is_for_operators(addresses: Addresses, identities: Path) -> None:
    async with gateway(addresses, identities=identities) as service:
        client = triton.InferenceServerClient(service.grpc_address)
        try:
            index = await _in_thread(client.get_model_repository_index, {"authorization": "Bearer operator"})
            assert "hybrid_mobile" in {model.name for model in index.models}
            with pytest.raises(InferenceServerException, match="operator"):
                await _in_thread(client.get_model_repository_index, {"authorization": "Bearer north"})
        finally:
            client.close()


async def _in_thread(call: Any, headers: dict[str, str]) -> Any:
    return await asyncio.to_thread(call, headers=headers)


async def test_a_client_certificate_is_an_identity(addresses: Addresses, identities: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    ca, server_pem, server_key = tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key"
    authority.cert_pem.write_to_path(ca)
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(server_key)
    server.cert_chain_pems[0].write_to_path(server_pem)

    def client_files(name: str) -> TlsFiles:
        issued = authority.issue_cert(name)
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        return TlsFiles(ca, tmp_path / f"{name}.pem", tmp_path / f"{name}.key")

    tls: dict[str, Any] = {"tls_certificate": server_pem, "tls_key": server_key, "tls_client_ca": ca}
    async with gateway(addresses, identities=identities, **tls) as service:
        async with as_(service, "", client_files("pacs.north.example")) as known:
            assert await known.models()
        async with as_(service, "", client_files("stranger.example")) as unknown:
            with pytest.raises(Unauthenticated):
                await unknown.models()


def test_the_development_key_is_private_and_enough(addresses: Addresses, mesh: Any, ecg_file: Path) -> None:
    assert (mesh.directory / "api-key").stat().st_mode & 0o077 == 0
    with Client(addresses.gateway, credential=mesh.api_key) as client:
        assert client.analyze(file=ecg_file).findings
    with Client(addresses.gateway, credential="other") as client, pytest.raises(Unauthenticated):
        client.models()
