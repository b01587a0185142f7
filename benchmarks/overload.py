"""Five times more calls than the mesh can answer: what is still answered, and how soon the emergencies are.

Run by ``make bench-overload``. Every call is an ``Analyze`` of one real ECG, computed afresh. In one run, in turn:

1. emergencies alone, a few a second: their unloaded p99
2. capacity: callers that never pause; answers per second
3. overload: routine calls at 5 × that rate, whatever becomes of them (an open loop, Poisson arrivals), with the same
   emergencies among them
4. capacity once more: the mean of both is what 3 is held against

Routine calls and emergencies come from a process of their own each. They share the machine's cores with the mesh, and
an open loop of refused calls costs its generator more than a closed loop of answered ones does: what that takes away
from the mesh counts as the mesh's loss here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pydicom

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cli.demo import sample_ecg
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.local import Mesh
from cardiomesh.rpc.channel import dial

DEADLINE_S: Final = 5.0
GOODPUT: Final = 0.9
SLOWER: Final = 2.0


@dataclass(frozen=True)
class Load:
    """What one generator does: ``rate`` calls a second in an open loop, or ``callers`` without a pause."""

    address: str
    key: str
    seconds: float
    priority: str
    rate: float = 0.0
    callers: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Seen:
    """What became of a load: milliseconds of each answer, counts of each status."""

    answered: list[float]
    statuses: dict[str, int]
    seconds: float
    late_starts: float = 0.0

    @property
    def goodput(self) -> float:
        """Answers per second."""
        return len(self.answered) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.answered)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def request() -> bytes:
    """One real ECG at 100 Hz, to be computed afresh."""
    signal = pydicom.dcmread(sample_ecg()).waveform_array(0)[: 10 * 1000 : 10]
    recording = types_pb2.Recording(
        signal=types_pb2.Signal(
            leads=STANDARD_LEADS,
            sampling_rate=100,
            unit="uV",
            sample_type=types_pb2.SAMPLE_TYPE_INT16,
            samples=np.ascontiguousarray(signal.T.round().astype("<i2")).tobytes(),
        )
    )
    return gateway_pb2.AnalyzeRequest(recording=recording, bypass_cache=True).SerializeToString()


async def generate(load: Load) -> Seen:
    """Make the calls of one load."""
    body = request()
    metadata = (("authorization", f"Bearer {load.key}"), ("x-cardiomesh-priority", load.priority))
    answered: list[float] = []
    statuses: Counter[str] = Counter()
    lag = 0.0
    async with dial(load.address) as channel:
        analyze = channel.unary_unary("/cardiomesh.gateway.v1.CardioMesh/Analyze")  # bytes: neither end of it is ours

        async def call() -> None:
            started = time.perf_counter()
            try:
                await analyze(body, metadata=metadata, timeout=DEADLINE_S)
            except grpc.aio.AioRpcError as error:
                statuses[error.code().name] += 1
            else:
                statuses["OK"] += 1
                answered.append((time.perf_counter() - started) * 1e3)

        began = time.perf_counter()
        until = began + load.seconds
        if load.callers:

            async def caller() -> None:
                while time.perf_counter() < until:
                    await call()

            await asyncio.gather(*(caller() for _ in range(load.callers)))
        else:
            chance = random.Random(load.seed)  # noqa: S311 — arrivals, not secrets
            due = began
            async with asyncio.TaskGroup() as calls:
                while (due := due + chance.expovariate(load.rate)) < until:
                    if (pause := due - time.perf_counter()) > 0:
                        await asyncio.sleep(pause)
                    lag = max(lag, time.perf_counter() - due)
                    calls.create_task(call())
        return Seen(answered, dict(statuses), time.perf_counter() - began, lag)


def start(load: Load) -> subprocess.Popen[str]:
    """A generator of its own process."""
    command = [sys.executable, __file__, "--generate", json.dumps(asdict(load))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def collect(generator: subprocess.Popen[str]) -> Seen:
    """What it saw."""
    output, _ = generator.communicate()
    return Seen(**json.loads(output))


def shed(address: str) -> str:
    """The gateway's own word: calls refused, by priority and reason, and the limit."""
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    kept = [line for line in lines if line.startswith(("cardiomesh_calls_shed_total{", "cardiomesh_admission_limit"))]
    return "\n".join(f"  {line}" for line in kept)


def measure(mesh: Mesh, options: argparse.Namespace) -> bool:
    """All four steps; whether both bounds hold."""

    def load(seconds: float, priority: str, **more: Any) -> Load:
        return Load(mesh.addresses.gateway, mesh.api_key, seconds, priority, **more)

    def capacity() -> float:
        seen = collect(start(load(options.capacity_seconds, "routine", callers=options.callers)))
        print(f"capacity, {options.callers} callers: {seen.goodput:.1f}/s, p50 {seen.quantile(0.5):.0f} ms", flush=True)
        return seen.goodput

    collect(start(load(5.0, "routine", callers=4)))  # warm-up
    alone = collect(start(load(options.alone_seconds, "emergency", rate=options.emergencies, seed=1)))
    unloaded = alone.quantile(0.99)
    print(
        f"emergencies alone: {len(alone.answered)} answers, p50 {alone.quantile(0.5):.1f} ms, p99 {unloaded:.1f} ms",
        flush=True,
    )
    before = capacity()
    flood = start(load(options.seconds, "routine", rate=options.times * before, seed=2))
    urgent = collect(start(load(options.seconds, "emergency", rate=options.emergencies, seed=3)))
    routine = collect(flood)
    print(f"overload, {options.times:g} × capacity for {options.seconds:g} s")
    for name, seen in (("routine", routine), ("emergency", urgent)):
        print(
            f"  {name:<10} {seen.goodput:6.1f}/s answered, p50 {seen.quantile(0.5):.0f} ms, "
            f"p99 {seen.quantile(0.99):.0f} ms, {seen.statuses}, latest start {seen.late_starts * 1e3:.0f} ms late"
        )
    print(shed(mesh.addresses.http))
    full = statistics.mean((before, capacity()))
    goodput = routine.goodput + urgent.goodput
    slower = urgent.quantile(0.99) / unloaded
    refused = sum(count for status, count in urgent.statuses.items() if status != "OK")
    held = (goodput >= GOODPUT * full, slower <= SLOWER)
    print(f"goodput: {goodput:.1f}/s is {goodput / full:.0%} of capacity; at least {GOODPUT:.0%}: {_word(held[0])}")
    print(
        f"emergencies: p99 {urgent.quantile(0.99):.1f} ms is {slower:.2f} × unloaded; at most {SLOWER:g} ×: "
        f"{_word(held[1])} ({refused} of {sum(urgent.statuses.values())} not answered)"
    )
    return all(held)


def _word(held: bool) -> str:
    return "met" if held else "MISSED"


def main() -> None:
    """Start the mesh, measure, stop; exit status 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generate", metavar="LOAD", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the overload")
    parser.add_argument("--alone-seconds", type=float, default=40.0, help="length of the emergencies alone")
    parser.add_argument("--capacity-seconds", type=float, default=15.0, help="length of each look at the capacity")
    parser.add_argument("--times", type=float, default=5.0, help="overload, in capacities")
    parser.add_argument("--emergencies", type=float, default=5.0, help="emergencies a second")
    parser.add_argument("--callers", type=int, default=8, help="callers that never pause")
    options = parser.parse_args()
    if options.generate:
        print(json.dumps(asdict(asyncio.run(generate(Load(**json.loads(options.generate)))))))
        return
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder, Mesh(directory=Path(folder)) as mesh:
        met = measure(mesh, options)
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
