"""What predictions pay for a flood of explanations beside them, and what any busy neighbour would cost them.

Run by ``make bench-explain``. One caller asks for predictions without a pause, nothing from the cache, in short blocks
of four kinds in random order within one run:

``alone``      nothing else
``recordings`` beside eight callers who ask without a pause for explanations by every method, each of a new recording
``ids``        the same of one earlier result, by its id
``control``    beside one process that computes the attribution graph without a pause in the kernel's idle class and
               knows nothing of the mesh: what a neighbour of the least priority costs on this machine

Blocks in which processes that are not of this run used more than ``--others`` of the machine are not counted. The
callers of explanations are a process of their own in the idle class; one that is refused asks again after 0.2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
import pydicom

from cardiomesh.cli.demo import sample_ecg
from cardiomesh.client import METHODS, AsyncClient
from cardiomesh.errors import CardioMeshError
from cardiomesh.local import Mesh

LIMIT: Final = 1.2
KINDS: Final = ("alone", "recordings", "ids", "control")
PERCENTILES: Final = (0.5, 0.95, 0.99)
#: Until a neighbour is in full swing.
LEAD_IN_S: Final = 3.0
GRAPH: Final = Path(__file__).parents[1] / "model_repository" / "hybrid_mobile_attribution" / "2" / "model.onnx"
CODE: Final = "MI"
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def stand_back() -> None:
    """Into the idle class: what measures must not be what disturbs."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def control() -> None:
    """Compute for ever."""
    stand_back()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(GRAPH), options, providers=["CPUExecutionProvider"])
    ecg = np.random.default_rng(0).standard_normal((4, 12, 1000)).astype(np.float32)
    target = np.eye(4, session.get_inputs()[1].shape[1], dtype=np.float32)
    while True:
        session.run(None, {"ecg": ecg, "target": target})


async def explanations(address: str, key: str, kind: str, callers: int) -> None:
    """Ask for ever."""
    stand_back()
    millivolts = pydicom.dcmread(sample_ecg()).waveform_array(0).T
    rng = np.random.default_rng()

    def noisy() -> np.ndarray:
        return np.ascontiguousarray(millivolts + rng.normal(0, 3, millivolts.shape))

    async with AsyncClient(address, credential=key, timeout=60) as client:
        result = await client.analyze(signal=noisy(), sampling_rate=1000, unit="uV")

        async def ask() -> None:
            while True:
                try:
                    if kind == "ids":
                        await client.explain(CODE, result_id=result.result_id, methods=METHODS, timeout=60)
                    else:
                        await client.explain(CODE, signal=noisy(), sampling_rate=1000, unit="uV", methods=METHODS)
                except CardioMeshError:
                    await asyncio.sleep(0.2)

        await asyncio.gather(*(ask() for _ in range(callers)))


@contextmanager
def neighbour(kind: str, mesh: Mesh, callers: int) -> Iterator[None]:
    """What runs beside the predictions of one block."""
    if kind == "alone":
        yield
        return
    command = [sys.executable, __file__, "--neighbour", kind, "--callers", str(callers)]
    child = subprocess.Popen([*command, "--address", mesh.addresses.gateway, "--key", mesh.api_key])
    try:
        time.sleep(LEAD_IN_S)
        yield
    finally:
        child.kill()
        child.wait()


def own_seconds() -> dict[int, float]:
    """Processor time so far of this process and all that it started, by process."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            used[int(folder.name)] = (int(fields[11]) + int(fields[12])) * _TICK_S
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return {pid: used[pid] for pid in mine}


def all_seconds() -> float:
    """Processor time so far of everybody, what the host took away included."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + sum(rest)) * _TICK_S


async def block(client: AsyncClient, file: bytes, seconds: float) -> tuple[list[float], float]:
    """Latencies in milliseconds, and the share of the machine that others used meanwhile."""
    own, everybody, started = own_seconds(), all_seconds(), time.perf_counter()
    latencies = []
    while (now := time.perf_counter()) < started + seconds:
        await client.analyze(file=file, bypass_cache=True)
        latencies.append((time.perf_counter() - now) * 1e3)
    mine = sum(used - own.get(pid, 0.0) for pid, used in own_seconds().items())
    spent = (time.perf_counter() - started) * (os.cpu_count() or 1)
    return latencies, (all_seconds() - everybody - mine) / spent


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def report(blocks: dict[str, list[list[float]]]) -> None:
    """Medians over the blocks of each kind, and their ratios to those of the predictions alone."""
    middle = {
        kind: [statistics.median(percentile(one, share) for one in some) for share in PERCENTILES]
        for kind, some in blocks.items()
        if some
    }
    print(f"\n{'beside':<12}{'blocks':>7}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}   as multiples of alone")
    for kind, values in middle.items():
        ratios = [value / alone for value, alone in zip(values, middle["alone"], strict=True)]
        verdict = ""
        if kind in ("recordings", "ids"):
            verdict = f"  p99 <= {LIMIT:g} {'kept' if ratios[-1] <= LIMIT else 'MISSED'}"
        cells = "".join(f"{value:>8.1f}" for value in values)
        print(f"{kind:<12}{len(blocks[kind]):>7}{cells}   {' '.join(f'{r:.2f}' for r in ratios)}{verdict}")


async def measure(mesh: Mesh, options: argparse.Namespace) -> None:
    """Blocks until there are enough of each kind, or the time is over; then how long explanations take meanwhile."""
    file = sample_ecg().read_bytes()
    blocks: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    spoilt = 0
    async with AsyncClient(mesh.addresses.gateway, credential=mesh.api_key, timeout=60) as client:
        for _ in range(20):
            await client.analyze(file=file, bypass_cache=True)
        await client.explain(CODE, file=file, methods=METHODS, timeout=300)  # warm-up
        until = time.monotonic() + options.minutes * 60
        while time.monotonic() < until and min(map(len, blocks.values())) < options.blocks:
            for kind in random.sample(KINDS, len(KINDS)):
                with neighbour(kind, mesh, options.callers):
                    latencies, others = await block(client, file, options.seconds)
                if others <= options.others:
                    blocks[kind].append(latencies)
                spoilt += others > options.others
        print(f"{spoilt} blocks not counted, in which others used more than {options.others:.0%} of the machine")
        report(blocks)
        await patience(client, file)


async def patience(client: AsyncClient, file: bytes) -> None:
    """How long an explanation takes alone and beside predictions without a pause."""

    async def predict() -> None:
        while True:
            await client.analyze(file=file, bypass_cache=True)

    for beside in (False, True):
        await asyncio.sleep(LEAD_IN_S)
        predicting = asyncio.create_task(predict()) if beside else None
        started = time.perf_counter()
        why = await client.explain(CODE, file=file, methods=METHODS, timeout=120)
        seconds = time.perf_counter() - started
        if predicting is not None:
            predicting.cancel()
            await asyncio.gather(predicting, return_exceptions=True)
        where = "beside predictions" if beside else "alone"
        print(f"one explanation by every method {where}: {seconds:.1f} s, missing {len(why.missing)} parts")


def main() -> None:
    """Start the mesh, measure, stop; or be the neighbour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=12, help="counted blocks of each kind")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one block")
    parser.add_argument("--minutes", type=float, default=8.0, help="when to stop in any case")
    parser.add_argument("--callers", type=int, default=8, help="callers of explanations without a pause")
    parser.add_argument("--others", type=float, default=0.1, help="share of the machine that others may use")
    parser.add_argument("--neighbour", choices=KINDS[1:], help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--key", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.neighbour == "control":
        control()
    elif options.neighbour:
        asyncio.run(explanations(options.address, options.key, options.neighbour, options.callers))
    else:
        print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        with tempfile.TemporaryDirectory() as folder, Mesh(directory=Path(folder)) as mesh:
            asyncio.run(measure(mesh, options))


if __name__ == "__main__":
    main()
