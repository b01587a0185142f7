"""What each part of the gateway costs a call: CPU of the process in the middle, part by part, beside a bare forwarder.

Run by ``make bench-gateway-cost``. One tensor of 12 × 1000 float32 (48 KB) per request, answered by a stand-in for
Triton that computes nothing, so that all that is measured is the way through the middle. The ways differ in settings
alone: nobody is asked who they are, then a key is checked, then each call is recorded, then traced. They are measured
in rounds (A B C … A B C …), and each against the bare forwarder *of its own round*: what other work on the machine
does to one round it does to all of it. CPU is the kernel's count of the process's nanoseconds, all threads of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.gateway import INFER, Call, cpu_seconds
from cardiomesh.local.development import development_key, store_settings, write_identities
from cardiomesh.local.ports import address, free_ports
from cardiomesh.rpc.channel import channel_options, dial

MODEL = "edge_optimized"
BARE = "bare forwarder"
WARM_UP_S = 60.0


class StandIn(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers as Triton would, at once, with nothing computed."""

    def __init__(self) -> None:
        output = service_pb2.ModelInferResponse.InferOutputTensor(name="statements", datatype="FP32", shape=[1, 60])
        self._answer = service_pb2.ModelInferResponse(
            model_name=MODEL, model_version="1", outputs=[output], raw_output_contents=[bytes(240)]
        )

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        index = service_pb2.RepositoryIndexResponse()
        index.models.add(name=MODEL, version="1", state="READY")
        return index

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer


async def serve_stand_in(port: int, http_port: int) -> None:
    """Serve it, and a collector that takes spans and forgets them, until killed."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    collector = web.Application()
    collector.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(collector, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http_port).start()
    server = grpc.aio.server(options=channel_options())
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(StandIn(), server)
    server.add_insecure_port(address(port))
    await server.start()
    await server.wait_for_termination()


def ways(folder: Path, collector: str) -> dict[str, dict[str, str]]:
    """Each way through the gateway, as its settings."""
    known = {"CARDIOMESH_IDENTITIES": str(write_identities(folder))}
    traced = {"CARDIOMESH_OTLP_ENDPOINT": f"http://{collector}"}

    def recorded(durability: str) -> dict[str, str]:
        own = Path(tempfile.mkdtemp(dir=folder))
        return known | store_settings(own) | {"CARDIOMESH_STORE_DURABILITY": durability}

    return {
        "anybody": {"CARDIOMESH_ANONYMOUS_ROLES": '["clinician"]'},
        "key": known,
        "key, journal": recorded("journal"),
        "key, database": recorded("database"),
        "key, journal, spans of 1 %": recorded("journal") | traced | {"CARDIOMESH_TRACE_RATIO": "0.01"},
        "key, journal, spans": recorded("journal") | traced,
    }


@dataclass(frozen=True, slots=True)
class Middle:
    """One process between the load and the stand-in."""

    name: str
    pid: int
    address: str
    metadata: tuple[tuple[str, str], ...] = ()


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str], checkout: Path) -> Iterator[int]:
    """The pid of a process that lives as long as the block."""
    environment = {**os.environ, **environment}
    with subprocess.Popen(command, env=environment, cwd=checkout, stdout=subprocess.DEVNULL) as started:
        try:
            yield started.pid
        finally:
            started.kill()


async def burst(call: Call, concurrency: int, count: int) -> None:
    """``count`` calls by ``concurrency`` callers without a pause."""
    numbers = iter(range(count))

    async def caller() -> None:
        for _ in numbers:
            await call()

    await asyncio.gather(*(caller() for _ in range(concurrency)))


async def measure(middles: Sequence[Middle], concurrency: int, count: int, rounds: int) -> dict[str, list[float]]:
    """CPU ms per call of each process in the middle, one figure a round."""
    ecg = np.random.default_rng(0).standard_normal((1, 12, 1000)).astype("<f4")
    request = service_pb2.ModelInferRequest(
        model_name=MODEL,
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name="ecg", datatype="FP32", shape=ecg.shape)],
        raw_input_contents=[ecg.tobytes()],
    ).SerializeToString()

    def caller(middle: Middle, channel: grpc.aio.Channel) -> Call:
        infer = channel.unary_unary(INFER)
        return lambda: infer(request, metadata=middle.metadata)

    spent: dict[str, list[float]] = {middle.name: [] for middle in middles}
    async with AsyncExitStack() as channels:
        calls = {m.name: caller(m, await channels.enter_async_context(dial(m.address))) for m in middles}
        for call in calls.values():
            await ready(call)
            await burst(call, concurrency, count)
        for _ in range(rounds):
            for middle in middles:
                before = cpu_seconds(middle.pid)
                await burst(calls[middle.name], concurrency, count)
                spent[middle.name].append((cpu_seconds(middle.pid) - before) / count * 1e3)
    return spent


async def ready(call: Call) -> None:
    """Return when a first call was answered."""
    async with asyncio.timeout(WARM_UP_S):
        while True:
            try:
                await call()
                return
            except grpc.aio.AioRpcError:  # itself, or what is behind it, is not there yet
                await asyncio.sleep(0.1)


def show(spent: Mapping[str, Sequence[float]]) -> None:
    """One line a way: medians over rounds."""
    floor = spent[BARE]
    width = max(map(len, spent))
    print(f"{'through':<{width}} {'CPU ms':>8} {'× bare':>8} {'+ ms':>8}")
    for name, each in spent.items():
        ratio = statistics.median(a / b for a, b in zip(each, floor, strict=True))
        added = statistics.median(a - b for a, b in zip(each, floor, strict=True))
        print(f"{name:<{width}} {statistics.median(each):>8.3f} {ratio:>8.2f} {added:>8.3f}")


def main() -> None:
    """Start everything, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stand-in", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--concurrency", type=int, default=32, help="callers at once")
    parser.add_argument("--calls", type=int, default=1000, help="calls of one measurement")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each way")
    parser.add_argument("--only", nargs="*", help="ways to measure, by their name; all of them by default")
    parser.add_argument("--against", type=Path, help="another checkout, whose gateway is measured in the same rounds")
    options = parser.parse_args()
    if options.stand_in:
        asyncio.run(serve_stand_in(*options.stand_in))
        return
    here = Path.cwd()
    checkouts = {"": here} | ({", other checkout": options.against} if options.against else {})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        triton, collector, bare = (address(port) for port in free_ports(3))

        def start(*command: str, checkout: Path = here, **environment: str) -> int:
            return running.enter_context(process((sys.executable, *command), environment, checkout))

        ports = [where.rpartition(":")[2] for where in (triton, collector)]
        start("-m", "benchmarks.gateway_cost", "--stand-in", *ports)
        middles = [Middle(BARE, start("-m", "benchmarks.gateway", "--bare", triton, bare), bare)]
        write_identities(Path(folder))
        key = (("authorization", f"Bearer {development_key(Path(folder))}"),)
        for label, checkout in checkouts.items():
            for name, settings in ways(Path(folder), collector).items():
                if options.only is not None and name not in options.only:
                    continue
                grpc_at, http_at = (address(port) for port in free_ports(2))
                where = {
                    "CARDIOMESH_GRPC_ADDRESS": grpc_at,
                    "CARDIOMESH_HTTP_ADDRESS": http_at,
                    "CARDIOMESH_TRITON_ADDRESS": triton,
                    "CARDIOMESH_LOG_LEVEL": "ERROR",
                }
                pid = start("-m", "gateway", checkout=checkout, **where, **settings)
                metadata = key if "CARDIOMESH_IDENTITIES" in settings else ()
                middles.append(Middle(name + label, pid, grpc_at, metadata))
        print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; ", end="")
        print(f"{options.concurrency} callers, {options.calls} calls, medians of {options.rounds} rounds")
        show(asyncio.run(measure(middles, options.concurrency, options.calls, options.rounds)))


if __name__ == "__main__":
    main()
