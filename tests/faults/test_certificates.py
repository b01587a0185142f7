"""Certificates that end while the mesh runs, at every edge of the gateway; fresh files bring it back, not a restart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from cardiomesh.client import TlsFiles
from tests.faults.bench import Bench, GatewayProcess
from tests.faults.books import ANSWERED, Books, Trail
from tests.faults.proxy import Proxy
from tests.faults.questions import Question, questions

pytestmark = pytest.mark.mesh

LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
SECONDS = 5.0


@dataclass
class Site:
    """One authority, a gateway with mutual TLS all around, and backends behind proxies that speak it."""

    authority: trustme.CA
    folder: Path
    context: ssl.SSLContext
    proxies: list[Proxy]
    gateway: GatewayProcess
    trail: Trail

    def files(self, name: str) -> TlsFiles:
        return TlsFiles(self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def books(self, caller: str) -> Books:
        return Books(self.gateway.address, self.trail, self.files(caller))

    def issue(self, name: str, *, ended: bool = False) -> TlsFiles:
        """Write a certificate and its key where they are read."""
        issue(self.authority, self.folder, name, ended=ended)
        return self.files(name)

    def backends_show(self, name: str) -> None:
        """From their next connection on."""
        files = self.files(name)
        assert files.certificate is not None
        self.context.load_cert_chain(files.certificate, files.key)
        for proxy in self.proxies:
            proxy.reset()


def issue(authority: trustme.CA, folder: Path, name: str, *, ended: bool = False) -> None:
    dates = dict(zip(("not_before", "not_after"), LONG_AGO, strict=True)) if ended else {}
    made = authority.issue_cert("127.0.0.1", "localhost", common_name=name, **dates)
    (folder / f"{name}.key").write_bytes(made.private_key_pem.bytes())
    (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return questions(2)


@pytest.fixture(scope="module")
def site(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    for name in ("gateway", "backend", "caller"):
        issue(authority, folder, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(folder / "backend.pem", folder / "backend.key")
    where = bench.mesh.addresses
    proxies = [bench.proxies.to(address, context) for address in (where.triton, where.preprocessor, where.explainer)]
    settings = bench.wiring | {
        "triton_address": proxies[0].address,
        "preprocessor_address": proxies[1].address,
        "explainer_address": proxies[2].address,
        "tls_certificate": str(folder / "gateway.pem"),
        "tls_key": str(folder / "gateway.key"),
        "tls_client_ca": str(folder / "ca.pem"),
        "tls_ca": str(folder / "ca.pem"),
        "store_url": f"sqlite:///{folder / 'store.sqlite'}",
    }
    tls = TlsFiles(folder / "ca.pem", folder / "caller.pem", folder / "caller.key")
    gateway = bench.start(folder, settings, tls=tls)
    return Site(authority, folder, context, proxies, gateway, Trail(f"sqlite:///{folder / 'store.sqlite'}", bench.key))


async def test_a_backend_whose_certificate_has_ended_is_not_believed(site: Site, asked: list[Question]) -> None:
    async with site.books("caller") as books:
        await books.until_well(asked)
        site.issue("ended", ended=True)
        site.backends_show("ended")
        assert {await books.analyze(q, afresh=True, seconds=SECONDS) for q in asked} <= {"UNAVAILABLE"}
        site.backends_show("backend")
        await books.until_well(asked)
        assert (books.wrong, await books.balance()) == ([], "")
    assert site.gateway.alive


async def test_the_gateways_own_certificate_ends_and_a_fresh_one_is_taken(site: Site, asked: list[Question]) -> None:
    """It is the server's to callers, and the client's to backends."""
    async with site.books("caller") as old:
        await old.until_well(asked)
        site.issue("gateway", ended=True)
        for proxy in site.proxies:
            proxy.reset()
        refused = ANSWERED
        while refused == ANSWERED:  # until the gateway has looked at its files
            refused = await old.analyze(asked[0], afresh=True, seconds=SECONDS)
        assert refused == "UNAVAILABLE"
        async with site.books("caller") as new:
            assert await new.analyze(asked[0], afresh=True, seconds=SECONDS) == "UNAVAILABLE"
            site.issue("gateway")
            await new.until_well(asked)
        assert (old.wrong, new.wrong) == ([], [])
    assert site.gateway.alive


async def test_a_caller_whose_certificate_has_ended_is_refused(site: Site, asked: list[Question]) -> None:
    site.issue("late", ended=True)
    async with site.books("late") as books:
        assert await books.analyze(asked[0], afresh=True, seconds=SECONDS) == "UNAVAILABLE"
        site.issue("late")
        await books.until_well(asked)  # its own client has taken the fresh files, too
        assert await books.balance() == ""
