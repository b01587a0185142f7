"""The bench that faults are tried on: the real parts, a proxy before each, real gateways, and one who keeps the books.

Everything is a process of its own. The mesh runs the backends and starts them again when they die; gateways are started
here, so that a test can see that it is still the same process which answers afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from cardiomesh.client import Analysis, AsyncClient, TlsFiles
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, Unavailable
from cardiomesh.local import Mesh, Restart
from cardiomesh.local.plan import Probe
from cardiomesh.local.ports import address, free_ports
from cardiomesh.local.probes import ready
from cardiomesh.watch import known_ecg
from gateway.identity.directory import digest_of
from gateway.store import LedgerKeys, open_engine
from gateway.store.chain import Verdict, verify
from gateway.store.tables import audit
from tests.conftest import ROOT
from tests.faults.proxy import Proxies, Proxy
from tests.postgresql import PostgreSQL, initdb

__all__ = ["ANSWERED", "KEY", "Bench", "Books", "GatewayProcess", "Question", "StoreKind", "Trail", "questions"]

#: The key of the one caller.
KEY: Final = "cmk_faults"
ANSWERED: Final = "answered"
RATE_HZ: Final = 500


class StoreKind(StrEnum):
    """Where a gateway keeps its trail, and what its answers wait for."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    #: A journal, shipped to PostgreSQL.
    JOURNAL = "journal"


@dataclass(frozen=True)
class Question:
    """A recording, and what is known of the right answer to it."""

    signal: npt.NDArray[np.float32]
    tensor_hash: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)

    def wrong(self, answer: Analysis) -> str:
        """What is wrong with an answer; empty when nothing is."""
        if answer.tensor_hash != self.tensor_hash:
            return "the answer is to another recording"
        if answer.probabilities.keys() != self.probabilities.keys():
            return "the answer is of another model"
        worst = max(abs(answer.probabilities[code] - p) for code, p in self.probabilities.items())
        return f"probabilities differ by {worst}" if worst > 1e-5 else ""


def questions(count: int, seed: int = 0) -> list[Question]:
    """Recordings that differ from each other, and from those of another seed."""
    random, ecg = np.random.default_rng(seed), known_ecg()
    return [
        Question(np.roll(ecg * np.float32(random.uniform(0.6, 1.4)), int(random.integers(1, 400)), axis=1))
        for _ in range(count)
    ]


@dataclass
class Trail:
    """A store, read from outside the gateway."""

    url: str
    key: Path
    #: What holds the newest records until the database has them.
    journal: Path | None = None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        engine = open_engine(self.url, 60.0)
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()

    async def _shipped(self) -> None:
        """Return when nothing waits in the journal."""
        files = [self.journal, self.journal.with_name(self.journal.name + ".shipping")] if self.journal else []
        while any(file.exists() for file in files):  # noqa: ASYNC110 — another process empties it
            await asyncio.sleep(0.05)

    async def verdict(self) -> Verdict:
        """What ``cardiomesh audit verify`` finds, when all that waits has been shipped."""
        await self._shipped()
        async with self._connected() as connection:
            return await verify(connection, LedgerKeys.read(self.key).chain)

    async def records(self) -> list[dict[str, Any]]:
        """Oldest first, likewise."""
        await self._shipped()
        async with self._connected() as connection:
            return [json.loads(body) for body in await connection.scalars(select(audit.c.body).order_by(audit.c.seq))]


class GatewayProcess:
    """``python -m gateway`` with these settings."""

    def __init__(self, folder: Path, settings: Mapping[str, str], environment: Mapping[str, str] | None = None) -> None:
        grpc_port, http_port = free_ports(2)
        self.address, self.http = address(grpc_port), address(http_port)
        wired = {"grpc_address": self.address, "http_address": self.http, **settings}
        self._environment = {f"CARDIOMESH_{name.upper()}": value for name, value in wired.items()}
        self._environment |= environment or {}
        self.log = folder / "gateway.log"

    def start(self) -> Self:
        """Return when it is ready; it dies with us."""
        launcher = ROOT / "cardiomesh" / "local" / "launch.py"
        command = [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), sys.executable, "-m", "gateway"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | self._environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not ready(Probe(kind="grpc-health", address=self.address)):
            if self._process.poll() is not None:
                raise AssertionError(f"the gateway did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        return self

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
        self, folder: Path, settings: Mapping[str, str], environment: Mapping[str, str] | None = None
    ) -> GatewayProcess:
        """A gateway with settings of its own; stopped with the bench."""
        gateway = GatewayProcess(folder, settings, environment).start()
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


class Books:
    """A caller of one gateway who writes down every outcome, to be held against the audit trail."""

    def __init__(self, gateway: GatewayProcess, trail: Trail, tls: TlsFiles | None = None) -> None:
        self._client = AsyncClient(gateway.address, credential=KEY, tls=tls)
        self._trail = trail
        #: How often each result was given.
        self.given: Counter[str] = Counter()
        #: Outcomes by gRPC status.
        self.outcomes: Counter[str] = Counter()
        self.from_cache = 0
        self.wrong: list[str] = []

    async def __aenter__(self) -> Self:
        # Another caller's records may be in the trail already.
        self._before = len(await self._trail.records())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def analyze(self, question: Question, *, afresh: bool, seconds: float) -> str:
        """Ask once; ``answered`` or the status of the error."""
        try:
            await self._asked(question, afresh=afresh, seconds=seconds)
        except CardioMeshError as error:
            return error.status
        return ANSWERED

    async def _asked(self, question: Question, *, afresh: bool, seconds: float) -> Analysis:
        try:
            answer = await self._client.analyze(
                signal=question.signal, sampling_rate=RATE_HZ, unit="mV", bypass_cache=afresh, timeout=seconds
            )
        except CardioMeshError as error:
            self.outcomes[error.status] += 1
            raise
        self.outcomes[ANSWERED] += 1
        self.given[answer.result_id] += 1
        self.from_cache += answer.from_cache
        if question.tensor_hash and (wrong := question.wrong(answer)):
            self.wrong.append(wrong)
        return answer

    async def explain(self, question: Question, *, seconds: float) -> str:
        """Ask for one part of the rules and one of the model; ``part missing`` when one came without its content."""
        try:
            found = await self._client.explain(
                "NORM",
                signal=question.signal,
                sampling_rate=RATE_HZ,
                unit="mV",
                methods=["rules", "gradient_x_input"],
                timeout=seconds,
            )
        except CardioMeshError as error:
            return error.status
        return "part missing" if found.missing else ANSWERED

    async def learn(self, asked: Sequence[Question]) -> list[Question]:
        """The same questions with the answers of a mesh that is well."""
        learned = []
        for question in asked:
            answer = None
            while answer is None:
                with suppress(Unavailable, DeadlineExceeded):
                    answer = await self._asked(question, afresh=True, seconds=10)
            learned.append(Question(question.signal, answer.tensor_hash, answer.probabilities))
        return learned

    async def until_well(self, asked: Sequence[Question]) -> None:
        """Ask until all is answered, afresh and from the cache, and explained; the test's own time limit bounds it."""
        for question in asked:
            while await self.analyze(question, afresh=True, seconds=5) != ANSWERED:
                pass
        for question in asked:
            before = self.from_cache
            while self.from_cache == before:
                await self.analyze(question, afresh=False, seconds=5)
        while await self.explain(asked[0], seconds=30) != ANSWERED:
            pass

    async def balance(self) -> str:
        """Hold the books against the trail; in words what does not agree, empty when all does.

        Every answer has its record, once each time that it was given. A record without an answer is one whose caller
        had stopped waiting; there are never more than calls that failed.
        """
        found = await self._trail.verdict()
        if found.broken:
            return f"the chain is broken: {found.broken}"
        recorded = Counter(
            record["result_id"]
            for record in (await self._trail.records())[self._before :]
            if record["outcome"] == "OK" and record["result_id"]
        )
        lost = self.given - recorded
        if lost:
            return f"{lost.total()} answers have no record"
        surplus = (recorded - self.given).total()
        failed = sum(count for outcome, count in self.outcomes.items() if outcome != ANSWERED)
        return f"{surplus} records have no answer, and {failed} calls failed" if surplus > failed else ""
