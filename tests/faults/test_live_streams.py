"""A live recording outlives the gateway that analyses it: killed, or told to stop, another one takes it up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from cardiomesh.client import AsyncClient, LiveEnd, LivePart, LiveSkipped, LiveStarted, LiveWindow
from cardiomesh.errors import CardioMeshError
from cardiomesh.local import Mesh, parts
from cardiomesh.local.development import store_settings, write_identities
from cardiomesh.local.ports import address, free_ports
from tests.conftest import ROOT
from tests.unit.preprocessor.long.tapes import RATE, tape

pytestmark = pytest.mark.mesh

STRIDE = 2
MODEL = "edge_optimized"


class Gateway:
    """One replica more, beside the mesh's own; all share the secret and the store."""

    def __init__(self, mesh: Mesh, folder: Path, **settings: str) -> None:
        grpc_port, http_port = free_ports(2)
        self.address, self.http = address(grpc_port), address(http_port)
        environment = store_settings(folder) | {
            "CARDIOMESH_STORE_DURABILITY": "database",
            "CARDIOMESH_IDENTITIES": str(write_identities(mesh.directory)),
            **settings,
        }
        addresses = asdict(mesh.addresses) | {"gateway": self.address, "http": self.http}
        child = parts.service("gateway", ROOT / "model_repository", addresses, environment)
        self._command, self._environment = list(child.command), os.environ | child.environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(timeout=60)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def replicas(mesh: Mesh, folder: Path, **settings: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two that are not started yet."""
    one, other = Gateway(mesh, folder, **settings), Gateway(mesh, folder, **settings)
    try:
        yield one, other
    finally:
        one.stop()
        other.stop()


async def answers(gateway: Gateway) -> None:
    """Return when it serves; the test's own time limit bounds it."""
    async with AsyncClient(gateway.address, timeout=1.0) as client:
        while True:
            try:
                if await client.models():
                    return
            except CardioMeshError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_another_replica_takes_the_stream_up_and_no_window_is_lost_or_doubled(
    mesh: Mesh, tmp_path: Path, number: signal.Signals
) -> None:
    x = tape(120.0)
    expected = range((120 - 10) // STRIDE + 1)
    async with replicas(mesh, tmp_path) as (first, second):
        first.start()
        await answers(first)
        found: list[LivePart] = []
        enough, go_on = asyncio.Event(), asyncio.Event()
        async with (
            AsyncClient(f"ipv4:{first.address},{second.address}") as client,
            client.stream(RATE, unit="uV", sample_type="int16", stride=STRIDE, model=MODEL) as stream,
        ):

            async def feed() -> None:
                for begin in range(0, x.shape[1], 137):
                    if begin > x.shape[1] // 2:
                        enough.set()
                        await go_on.wait()
                    await stream.send(x[:, begin : begin + 137])
                await stream.finish()

            async def read() -> None:
                async for part in stream:
                    found.append(part)

            sender, reader = asyncio.create_task(feed()), asyncio.create_task(read())
            await enough.wait()
            second.start()
            await answers(second)
            before = len(found)
            ending = asyncio.create_task(asyncio.to_thread(first.end, number))
            go_on.set()
            await sender
            await reader
            await ending
    windows = [part for part in found if isinstance(part, LiveWindow)]
    assert sorted(window.index for window in windows) == list(expected)
    assert not [part for part in found if isinstance(part, LiveSkipped)]
    assert [part.resumed for part in found if isinstance(part, LiveStarted)] == [False, True]
    assert 1 < before < len(found)
    assert isinstance(found[-1], LiveEnd)
    async with AsyncClient(mesh.addresses.gateway) as client:
        for window in windows[::12]:
            cut = x[:, window.first_sample : window.first_sample + 10 * RATE]
            alone = await client.analyze(signal=cut, sampling_rate=RATE, unit="uV", model=MODEL)
            assert window.analysis is not None
            assert window.analysis.tensor_hash == alone.tensor_hash
    # Every answer that was given is in the trail; those that broke off on their way may be there twice.
    engine = create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with engine.connect() as connection:
        kept = set(connection.scalars(text("SELECT result_id FROM answers")))
    engine.dispose()
    assert {w.analysis.result_id for w in windows if w.analysis} <= kept


@pytest.mark.heavy
async def test_a_slow_reader_costs_the_gateway_no_memory_and_stops_the_sender(mesh: Mesh, tmp_path: Path) -> None:
    hours = 3
    minute = np.ascontiguousarray(tape(60.0)).repeat(5, axis=1)  # 1000 Hz: 1.4 MB
    async with replicas(mesh, tmp_path, CARDIOMESH_LIVE_BEHIND_S="60") as (gateway, _):
        gateway.start()
        await answers(gateway)
        async with (
            AsyncClient(gateway.address) as client,
            client.stream(1000, unit="uV", sample_type="int16", stride=1, model=MODEL) as stream,
        ):
            parts_ = aiter(stream)
            assert isinstance(await anext(parts_), LiveStarted)
            before = resident(gateway.pid)
            sent = 0

            async def feed() -> None:
                nonlocal sent
                for _ in range(60 * hours):
                    await stream.send(minute)
                    sent += 1

            sender = asyncio.create_task(feed())
            last = -1
            while sent > last:  # until a second passes in which nothing more is taken
                last = sent
                await asyncio.sleep(1)
            assert sent < 60 * hours
            assert resident(gateway.pid) - before < 64 * 2**20
            for _ in range(300):  # it goes on as soon as somebody reads
                await anext(parts_)
            assert not sender.done()
            sender.cancel()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
