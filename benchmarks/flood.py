"""What predictions pay for a flood of explanations beside them, and what any busy neighbour would cost them.

Run by ``make bench-explain``. One caller asks for predictions without a pause, nothing from the cache, in short blocks
of four kinds in random order within one run:

``alone``      nothing else
``recordings`` beside eight callers who ask without a pause for explanations by every method, each of a new recording
``ids``        the same of one earlier result, by its id
``control``    beside one process that computes the attribution graph without a pause in the kernel's idle class and
               knows nothing of the mesh: what a neighbour of the least priority costs on this machine

On a shared machine, only quarters of a second count in which processes that are not of this run used at most
``--others`` of it. The callers of explanations are a process of their own in the idle class; one that is refused asks
again after 0.2 s. The interval of a ratio is a bootstrap's over the counted quarters.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
FLOODS: Final = ("recordings", "ids")
PERCENTILES: Final = (0.5, 0.95, 0.99)
QUARTER_S: Final = 0.25
RESAMPLES: Final = 1000
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
def neighbour(kind: str, mesh: Mesh, callers: int) -> Iterator[Callable[[], bool]]:
    """What runs beside the predictions of one block; says whether it still does."""
    if kind == "alone":
        yield lambda: True
        return
    command = [sys.executable, __file__, "--neighbour", kind, "--callers", str(callers)]
    child = subprocess.Popen([*command, "--address", mesh.addresses.gateway, "--key", mesh.api_key])
    try:
        time.sleep(LEAD_IN_S)
        yield lambda: child.poll() is None
    finally:
        child.kill()
        child.wait()


def own_processes() -> list[Path]:
    """The accounts of this process and all that it started."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return [Path(f"/proc/{pid}/stat") for pid in mine]


def processor_seconds(mine: list[Path]) -> tuple[float, float]:
    """Processor time so far of these processes, and of everybody, what the host took away included."""
    own = 0
    for account in mine:
        with suppress(OSError):
            own += sum(map(int, account.read_text().rpartition(")")[2].split()[11:13]))
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return own * _TICK_S, (user + nice + system + sum(rest)) * _TICK_S


async def block(client: AsyncClient, file: bytes, seconds: float) -> list[tuple[float, list[float]]]:
    """Quarters of a second: the share of the machine that others used, and latencies in milliseconds."""
    mine, cores = own_processes(), os.cpu_count() or 1
    until = time.perf_counter() + seconds
    quarters = []
    while time.perf_counter() < until:
        own, everybody = processor_seconds(mine)
        started, latencies = time.perf_counter(), []
        while (now := time.perf_counter()) < started + QUARTER_S:
            await client.analyze(file=file, bypass_cache=True)
            latencies.append((time.perf_counter() - now) * 1e3)
        own_later, everybody_later = processor_seconds(mine)
        others = (everybody_later - everybody - own_later + own) / cores / (time.perf_counter() - started)
        quarters.append((others, latencies))
    return quarters


def percentile(quarters: list[list[float]], share: float) -> float:
    """Nearest rank over all latencies."""
    ordered = sorted(itertools.chain.from_iterable(quarters))
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ratio_interval(some: list[list[float]], alone: list[list[float]], share: float) -> tuple[float, float]:
    """95 % of what the ratio of two percentiles would be with other quarters of the same kinds."""
    rng = random.Random(0)  # noqa: S311 — no secret
    ratios = sorted(
        percentile(rng.choices(some, k=len(some)), share) / percentile(rng.choices(alone, k=len(alone)), share)
        for _ in range(RESAMPLES)
    )
    return ratios[round(RESAMPLES * 0.025)], ratios[round(RESAMPLES * 0.975) - 1]


def report(counted: dict[str, list[list[float]]]) -> None:
    """Percentiles of each kind, and as multiples of those of the predictions alone."""
    alone = counted["alone"]
    print(f"{'beside':<12}{'n':>7}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}   as multiples of alone (p99: 95 % interval)")
    for kind, some in counted.items():
        if not some or not alone:
            continue
        values = [percentile(some, share) for share in PERCENTILES]
        ratios = [value / percentile(alone, share) for value, share in zip(values, PERCENTILES, strict=True)]
        low, high = ratio_interval(some, alone, PERCENTILES[-1])
        verdict = f"  <= {LIMIT:g} {'kept' if ratios[-1] <= LIMIT else 'MISSED'}" if kind in FLOODS else ""
        cells = "".join(f"{value:>8.1f}" for value in values)
        said = f"{' '.join(f'{r:.2f}' for r in ratios)} ({low:.2f} to {high:.2f})"
        print(f"{kind:<12}{sum(map(len, some)):>7}{cells}   {said}{verdict}")


async def measure(mesh: Mesh, options: argparse.Namespace) -> None:
    """Blocks until enough of each kind counts, or the time is over; then how long explanations take meanwhile."""
    file = sample_ecg().read_bytes()
    counted: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    spoilt = 0
    async with AsyncClient(mesh.addresses.gateway, credential=mesh.api_key, timeout=60) as client:
        for _ in range(20):
            await client.analyze(file=file, bypass_cache=True)
        await client.explain(CODE, file=file, methods=METHODS, timeout=300)  # warm-up
        until, enough = time.monotonic() + options.minutes * 60, options.counted / QUARTER_S
        while time.monotonic() < until and min(map(len, counted.values())) < enough:
            for kind in random.sample(KINDS, len(KINDS)):
                with neighbour(kind, mesh, options.callers) as lives:
                    quarters = await block(client, file, options.seconds)
                    beside = lives()
                good = [latencies for others, latencies in quarters if beside and others <= options.others]
                counted[kind] += good
                spoilt += len(quarters) - len(good)
        print(f"{spoilt * QUARTER_S:.0f} s not counted: others used more than {options.others:.0%}, or nobody asked\n")
        report(counted)
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
    parser.add_argument("--counted", type=float, default=60.0, help="seconds of each kind that must count")
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
