"""The bench that faults are tried on: the real parts, a proxy before each, real gateways, and one who keeps the books.

Everything is a process of its own. The mesh runs the backends and starts them again when they die; gateways are started
here, so that a test can see that it is still the same process which answers afterwards.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cardiomesh.local import Mesh, Restart
from cardiomesh.local.ports import address, free_ports
from cardiomesh.rpc.channel import TlsFiles, dial_sync
from gateway.identity.directory import digest_of
from tests.conftest import ROOT
from tests.faults.books import KEY, Trail
from tests.faults.proxy import Proxies, Proxy
from tests.postgresql import PostgreSQL, initdb

__all__ = ["Bench", "GatewayProcess", "StoreKind", "rss_mib"]


class StoreKind(StrEnum):
    """Where a gateway keeps its trail, and what its answers wait for."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    #: A journal, shipped to PostgreSQL.
    JOURNAL = "journal"


class GatewayProcess:
    """``python -m gateway`` with these settings."""

    def __init__(self, folder: Path, settings: Mapping[str, str], environment: Mapping[str, str] | None = None) -> None:
        grpc_port, http_port = free_ports(2)
        self.address, self.http = address(grpc_port), address(http_port)
        wired = {"grpc_address": self.address, "http_address": self.http, **settings}
        self._environment = {f"CARDIOMESH_{name.upper()}": value for name, value in wired.items()}
        self._environment |= environment or {}
        self.log = folder / "gateway.log"

    def start(self, tls: TlsFiles | None = None) -> Self:
        """Return when it is ready, asked as ``tls`` says; it dies with us."""
        launcher = ROOT / "cardiomesh" / "local" / "launch.py"
        command = [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), sys.executable, "-m", "gateway"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | self._environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not self._ready(tls):
            if self._process.poll() is not None:
                raise AssertionError(f"the gateway did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        return self

    def _ready(self, tls: TlsFiles | None) -> bool:
        with dial_sync(self.address, tls) as channel, suppress(grpc.RpcError):
            request = health_pb2.HealthCheckRequest(service="readiness")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=1)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def rss_mib(self) -> float:
        """Memory it holds now."""
        return rss_mib(self.pid)

    def in_flight(self) -> int:
        """Calls that it is serving, by its own metrics."""
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("cardiomesh_rpc_in_flight"))

    @contextmanager
    def no_room(self) -> Iterator[None]:
        """No file of it can take another byte, as on a full disk or with a used-up quota."""
        before = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, before)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.terminate()
        self._process.wait(60)


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Bench:
    """The mesh's backends behind proxies, and a gateway for each kind of store, started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._gateways: dict[StoreKind, GatewayProcess] = {}
        self._postgresql: PostgreSQL | None = None
        self.trails: dict[StoreKind, Trail] = {}

    def __enter__(self) -> Self:
        self.mesh = self._stack.enter_context(
            Mesh(
                ROOT / "model_repository",
                directory=self._folder / "mesh",
                parts=["triton", "redis", "preprocessor", "explainer"],
                restart=Restart.ALL,
            )
        )
        self.proxies = self._stack.enter_context(Proxies())
        where = self.mesh.addresses
        self.triton = self.proxies.to(where.triton)
        self.redis = self.proxies.to(where.redis)
        self.preprocessor = self.proxies.to(where.preprocessor)
        self.explainer = self.proxies.to(where.explainer)
        self._database: Proxy | None = None
        self.key = self._folder / "store-key"
        self.key.write_bytes(b"k" * 32)
        self.identities = self._folder / "identities.json"
        caller = {"name": "caller", "sha256": digest_of(KEY), "tenant": "default", "roles": ["clinician"]}
        self.identities.write_text(json.dumps({"keys": [caller]}))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- parts -----------------------------------------------------------------------------------------------

    @property
    def postgresql(self) -> PostgreSQL:
        """A real server, started when it is first asked for."""
        if self._postgresql is None:
            binary = initdb()
            assert binary is not None, "needs PostgreSQL's server: initdb and pg_ctl"
            self._postgresql = PostgreSQL(binary)
            self._stack.callback(self._postgresql.remove)
        return self._postgresql

    @property
    def database(self) -> Proxy:
        """The way to it that gateways take."""
        if self._database is None:
            self._database = self.proxies.to(self.postgresql.socket)
        return self._database

    @property
    def wiring(self) -> dict[str, str]:
        """Settings of a gateway on this bench."""
        return {
            "triton_address": self.triton.address,
            "triton_http_address": self.mesh.addresses.triton_http,
            "preprocessor_address": self.preprocessor.address,
            "explainer_address": self.explainer.address,
            "redis_url": f"redis://{self.redis.address}/0",
            "model_repository": str(ROOT / "model_repository"),
            "identities": str(self.identities),
            "store_key": str(self.key),
            "store_migrate": "true",
            # A commit to a busy disk takes its time; less than a call has.
            "store_timeout_s": "3",
            # On a busy machine Redis is late and not away.
            "cache_timeout_s": "1",
        }

    def gateway(self, kind: StoreKind) -> GatewayProcess:
        """The gateway with such a store."""
        if kind not in self._gateways:
            folder = self._folder / kind
            folder.mkdir()
            if kind is StoreKind.SQLITE:
                url = asked = f"sqlite:///{folder / 'store.sqlite'}"
            else:
                # A database of its own for each: one trail must not hold another's records.
                self._create(kind)
                url = f"postgresql://test@{self.database.address}/{kind}"
                asked = f"postgresql://test@/{kind}?host={self.postgresql.place}"
            settings = self.wiring | {"store_url": url}
            if kind is StoreKind.JOURNAL:
                settings |= {"store_durability": "journal", "store_journal": str(folder / "journal")}
            self._gateways[kind] = self.start(folder, settings)
            self.trails[kind] = Trail(asked, self.key, folder / "journal" if kind is StoreKind.JOURNAL else None)
        return self._gateways[kind]

    def start(
        self,
        folder: Path,
        settings: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
        tls: TlsFiles | None = None,
    ) -> GatewayProcess:
        """A gateway with settings of its own; stopped with the bench."""
        gateway = GatewayProcess(folder, settings, environment).start(tls)
        self._stack.callback(gateway.stop)
        return gateway

    def _create(self, database: str) -> None:
        make = ["createdb", "--host", str(self.postgresql.place), "--username", "test", database]
        subprocess.run(make, check=True)

    # -- what is done to them --------------------------------------------------------------------------------

    def pid(self, part: str) -> int:
        """The process of a part of the mesh."""
        found = self.mesh.status().processes[part].pid
        assert found is not None
        return found

    def kill(self, part: str) -> None:
        """SIGKILL; the mesh starts it again."""
        os.kill(self.pid(part), signal.SIGKILL)

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """SIGSTOP: its sockets take what is sent, and nothing is answered."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
