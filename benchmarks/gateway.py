"""What the gateway costs: Triton direct, behind a bare grpc.aio forwarder, and behind the gateway, in turn.

Run by ``make bench-gateway``. One tensor of 12 × 1000 float32 (48 KB) per request to ``edge_optimized``. The three
ways are measured in rounds (A B C A B C …) within one run, so that a machine that drifts drifts for all of them;
medians over rounds are printed. CPU is that of the process in the middle, from the kernel's own accounting. The load
generator shares the machine. The gateway authenticates, and writes its audit trail to SQLite, as the embedded mesh
always does. Then the cost of ``Analyze``: computed and answered from the cache.
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
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from cardiomesh.cli.demo import sample_ecg
from cardiomesh.local import Mesh
from cardiomesh.local.ports import address, free_ports
from cardiomesh.rpc.channel import channel_options, dial

INFER = "/inference.GRPCInferenceService/ModelInfer"
Call = Callable[[], Awaitable[Any]]


class Bare(grpc.GenericRpcHandler):
    """The floor: forward bytes and do nothing else."""

    def __init__(self, triton: grpc.aio.Channel) -> None:
        self._infer = triton.unary_unary(INFER)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def forward(request: bytes, context: Any) -> bytes:
            answer: bytes = await self._infer(request)
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)


async def serve_bare(triton: str, where: str) -> None:
    """Serve the floor until killed."""
    async with dial(triton) as channel:
        server = grpc.aio.server(options=channel_options())
        server.add_generic_rpc_handlers((Bare(channel),))
        server.add_insecure_port(where)
        await server.start()
        await server.wait_for_termination()


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, all its threads: its own clock, as ``clock_getcpuclockid(3)`` names it."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e9


async def load(call: Call, concurrency: int, seconds: float) -> list[float]:
    """Latencies in ms of calls made by ``concurrency`` callers without a pause."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def caller() -> None:
        while (started := time.perf_counter()) < until:
            await call()
            latencies.append((time.perf_counter() - started) * 1e3)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return latencies


async def rounds(ways: dict[str, tuple[Call, int]], concurrency: int, seconds: float, count: int) -> None:
    """Measure every way in turn and print one line each."""
    seen: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in ways}
    for _ in range(count):
        for name, (call, pid) in ways.items():
            before = cpu_seconds(pid)
            latencies = sorted(await load(call, concurrency, seconds))
            spent = cpu_seconds(pid) - before
            p99 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
            middle = statistics.median(latencies)
            seen[name].append((middle, p99, len(latencies) / seconds, spent / len(latencies) * 1e3))
    for name, rows in seen.items():
        p50, p99, rate, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{concurrency:>11}  {name:<22} {p50:>8.2f} {p99:>8.2f} {rate:>9.0f} {cpu:>10.3f}")


async def measure(mesh: Mesh, bare: subprocess.Popen[bytes], floor_at: str, seconds: float, count: int) -> None:
    """All tables."""
    pids = {name: process.pid or 0 for name, process in mesh.status().processes.items()}
    ecg = np.random.default_rng(0).standard_normal((1, 12, 1000)).astype("<f4")
    request = service_pb2.ModelInferRequest(
        model_name="edge_optimized",
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name="ecg", datatype="FP32", shape=ecg.shape)],
        raw_input_contents=[ecg.tobytes()],
    ).SerializeToString()
    where = mesh.addresses
    key = (("authorization", f"Bearer {mesh.api_key}"),)
    async with dial(where.triton) as triton, dial(floor_at) as floor, dial(where.gateway) as door:
        infer = {
            name: channel.unary_unary(INFER)
            for name, channel in (("triton", triton), ("bare forwarder", floor), ("gateway", door))
        }
        ways = {
            "triton": (lambda: infer["triton"](request), pids["triton"]),
            "bare forwarder": (lambda: infer["bare forwarder"](request), bare.pid),
            "gateway": (lambda: infer["gateway"](request, metadata=key), pids["gateway"]),
        }
        stub = gateway_pb2_grpc.CardioMeshStub(door)
        analyze = gateway_pb2.AnalyzeRequest()
        analyze.recording.file.content = sample_ecg().read_bytes()
        fresh = gateway_pb2.AnalyzeRequest()
        fresh.CopyFrom(analyze)
        fresh.bypass_cache = True
        answers: dict[str, tuple[Call, int]] = {
            "Analyze, computed": (lambda: stub.Analyze(fresh, metadata=key), pids["gateway"]),
            "Analyze, from the cache": (lambda: stub.Analyze(analyze, metadata=key), pids["gateway"]),
        }
        await floor.channel_ready()
        for call, _ in (*ways.values(), *answers.values()):
            await load(call, 4, seconds / 2)  # warm-up
        print(f"{'concurrency':>11}  {'way':<22} {'p50 ms':>8} {'p99 ms':>8} {'calls/s':>9} {'CPU ms':>10}")
        for concurrency in (1, 8, 32, 64):
            await rounds(ways, concurrency, seconds, count)
        for concurrency in (1, 8):
            await rounds(answers, concurrency, seconds, count)


def main() -> None:
    """Start the mesh and the floor, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bare", nargs=2, metavar=("TRITON", "WHERE"), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    options = parser.parse_args()
    if options.bare:
        asyncio.run(serve_bare(*options.bare))
        return
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder, Mesh(directory=Path(folder)) as mesh:
        floor = address(free_ports(1)[0])
        with subprocess.Popen([sys.executable, __file__, "--bare", mesh.addresses.triton, floor]) as bare:
            try:
                asyncio.run(measure(mesh, bare, floor, options.seconds, options.rounds))
            finally:
                bare.kill()


if __name__ == "__main__":
    main()
