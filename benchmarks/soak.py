"""Half an hour at four fifths of capacity while something fails every twenty seconds: nothing lost, wrong or growing.

Run by ``make soak``. The bench of ``tests/faults``: real Triton, Valkey, preprocessor, explainer and PostgreSQL, each
behind a proxy, and a gateway process whose answers wait for the database. Capacity is measured first, with as many
callers as keep the mesh busy; then calls come at random times (Poisson) at a share of that rate, most computed afresh,
some from the cache, now and then an explanation. Faults are those of ``tests/faults/matrix.py``, in a seeded order in
which each comes before any comes again; they last two to eight seconds. Every answer is held against the one that ONNX
Runtime gives in this process. At the end the audit trail is held against the answers that were given.

Memory: the resident size of each process every ten seconds, and the slope of a line through it, one intercept for each
life of a process, with twice its standard error. The first fifth of the time is warm-up and left out. Calls under way
hold some hundred KiB each, so sizes go up and down by tens of MiB. Flat is a slope that is not above
``FLAT_MIB_PER_MINUTE`` by more than that error.

It ends with status 1 when an answer was wrong or has no record, when the chain is broken, when a status came that a
failing part does not explain, when the gateway was not the same process all the time, or when its memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

import numpy as np
from redis.exceptions import RedisError

from tests.faults.bench import Bench, GatewayProcess, StoreKind, rss_mib
from tests.faults.books import ANSWERED, Books
from tests.faults.matrix import FAULTS, Fault
from tests.faults.questions import Question, questions
from tests.postgresql import initdb

RECORDINGS: Final = 64
DEADLINE_S: Final = 5.0
#: Share of the calls that may be answered from the cache, and calls between two explanations.
CACHED, EXPLAIN_EVERY = 0.3, 100
CALLERS: Final = 16
#: Calls under way before the generator holds back; a real caller would, too.
MOST_UNDER_WAY: Final = 200
FAULT_SECONDS: Final = (2.0, 8.0)
#: What a failing part explains. Anything else is a fault of ours.
EXPLAINED: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
SAMPLE_EVERY_S: Final = 10.0
SAY_EVERY_S: Final = 60.0
FLAT_MIB_PER_MINUTE: Final = 0.5
PARTS: Final = ("preprocessor", "explainer", "triton", "redis")


class Memory:
    """Resident sizes of processes, by part and process id."""

    def __init__(self, bench: Bench, gateway: GatewayProcess) -> None:
        self._bench, self._gateway = bench, gateway
        self._began = time.monotonic()
        self._seen: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))

    def sample(self) -> None:
        """Look once."""
        minutes = (time.monotonic() - self._began) / 60
        processes = self._bench.mesh.status().processes
        pids = {"gateway": self._gateway.pid} | {part: processes[part].pid or 0 for part in PARTS}
        for part, pid in pids.items():
            with suppress(OSError, StopIteration):  # it may just be dead
                self._seen[part][pid].append((minutes, rss_mib(pid)))

    def table(self, after_minutes: float) -> tuple[str, float]:
        """The printed rows, and the least slope that the gateway may have, in MiB per minute."""
        lines = [
            f"{'process':<14} {'lives':>5} {'first MiB':>10} {'last MiB':>9} {'slope MiB/min':>14} {'± (2 s.e.)':>11}"
        ]
        gateway = float("nan")
        for part, lives in self._seen.items():
            kept = {pid: [s for s in samples if s[0] >= after_minutes] for pid, samples in lives.items()}
            points = [np.array(samples) for samples in kept.values() if len(samples) > 2]
            if not points:
                continue
            centred = np.concatenate([samples - samples.mean(axis=0) for samples in points])
            minutes, sizes = centred.T
            slope = float(minutes @ sizes / (minutes @ minutes))
            rest = sizes - slope * minutes
            error = 2 * float(np.sqrt(rest @ rest / max(1, len(rest) - 2) / (minutes @ minutes)))
            ends = f"{points[0][0, 1]:>10.1f} {points[-1][-1, 1]:>9.1f}"
            lines.append(f"{part:<14} {len(lives):>5} {ends} {slope:>+14.3f} {error:>11.3f}")
            if part == "gateway":
                gateway = slope - error
        return "\n".join(lines), gateway


class Load:
    """Asks, and counts what came of it, also by the fault that there was."""

    def __init__(self, books: Books, asked: list[Question], chance: random.Random) -> None:
        self.books, self._asked, self._chance = books, asked, chance
        self.fault = ""
        self.by_fault: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.explained: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.held_back = 0
        self._under_way: set[asyncio.Task[None]] = set()

    async def once(self) -> None:
        """One call."""
        fault, began = self.fault, time.perf_counter()
        afresh = self._chance.random() >= CACHED
        outcome = await self.books.analyze(self._chance.choice(self._asked), afresh=afresh, seconds=DEADLINE_S)
        if outcome == ANSWERED:
            self.latencies.append((time.perf_counter() - began) * 1e3)
        self.by_fault[fault][outcome] += 1

    async def _explain(self) -> None:
        self.explained[await self.books.explain(self._chance.choice(self._asked), seconds=DEADLINE_S)] += 1

    async def capacity(self, seconds: float) -> float:
        """Calls per second that ``CALLERS`` at once get answered."""
        until = time.monotonic() + seconds
        count = 0

        async def ask() -> None:
            nonlocal count
            while time.monotonic() < until:
                await self.once()
                count += 1

        await asyncio.gather(*(ask() for _ in range(CALLERS)))
        return count / seconds

    async def at(self, per_second: float, seconds: float) -> None:
        """Calls at random times; returns when the last has ended."""
        due = until = time.monotonic()
        until += seconds
        number = 0
        while due < until:
            due += self._chance.expovariate(per_second)
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            if len(self._under_way) >= MOST_UNDER_WAY:
                self.held_back += 1
                continue
            number += 1
            self._start(self.once)
            if number % EXPLAIN_EVERY == 0:
                self._start(self._explain)
        await asyncio.gather(*self._under_way)

    def _start(self, call: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(call())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


async def strike(
    bench: Bench, gateway: GatewayProcess, faults: list[Fault], load: Load, every_s: float, seed: int
) -> None:
    """One fault after the other, until cancelled; one thread does it all, as SQLite's locks ask for."""
    chance = random.Random(seed)  # noqa: S311 — makes a run repeatable
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as hand:
        while True:
            for fault in chance.sample(faults, len(faults)):
                load.fault = fault.name
                began, seconds = time.monotonic(), chance.uniform(*FAULT_SECONDS)
                # Whatever happens to us, what was begun is ended.
                await asyncio.shield(
                    loop.run_in_executor(hand, once, fault.strike(bench, gateway), fault.name, seconds)
                )
                await asyncio.sleep(max(0.0, began + every_s - time.monotonic()))


def once(block: AbstractContextManager[None], name: str, seconds: float) -> None:
    """One fault, for so long."""
    try:
        with block:
            time.sleep(seconds)
    except (AssertionError, OSError, RedisError, subprocess.SubprocessError) as error:
        print(f"  {name} could not be done: {type(error).__name__}", flush=True)


async def watch(memory: Memory, load: Load, began: float) -> None:
    """Sample memory and say how it goes, until cancelled."""
    said = 0.0
    while True:
        await asyncio.to_thread(memory.sample)
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            counts = " ".join(f"{outcome} {count}" for outcome, count in load.books.outcomes.most_common())
            print(f"  {(said - began) / 60:5.1f} min  {counts}  wrong {len(load.books.wrong)}", flush=True)
        await asyncio.sleep(SAMPLE_EVERY_S)


async def soak(bench: Bench, kind: StoreKind, options: argparse.Namespace) -> bool:
    """The whole run; True when nothing was lost, wrong or growing."""
    gateway = bench.gateway(kind)
    asked = questions(RECORDINGS, options.seed)
    faults = [fault for fault in FAULTS if fault.store in (None, kind)]
    chance = random.Random(options.seed)  # noqa: S311 — the same
    async with Books(gateway.address, bench.trails[kind]) as books:
        await books.until_well(asked)
        load = Load(books, asked, chance)
        capacity = await load.capacity(options.capacity_seconds)
        print(f"capacity {capacity:.1f} calls/s ({CALLERS} callers, {options.capacity_seconds:.0f} s); ", end="")
        print(f"asking for {options.share * capacity:.1f}/s, {len(faults)} kinds of faults", flush=True)
        memory, began = Memory(bench, gateway), time.monotonic()
        load.latencies.clear()
        beside = [
            asyncio.create_task(strike(bench, gateway, faults, load, options.every, options.seed)),
            asyncio.create_task(watch(memory, load, began)),
        ]
        await load.at(options.share * capacity, options.minutes * 60)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await books.until_well(asked)
        balance = await books.balance()
        return report(load, memory, gateway, balance, options.minutes)


def report(load: Load, memory: Memory, gateway: GatewayProcess, balance: str, minutes: float) -> bool:
    """Print what came of it."""
    books = load.books
    print(f"\n{'fault':<44} {'answered':>9}  failed")
    for fault, counts in sorted(load.by_fault.items()):
        failed = ", ".join(f"{status} {count}" for status, count in counts.items() if status != ANSWERED)
        print(f"{fault or 'none':<44} {counts[ANSWERED]:>9}  {failed}")
    print("\ncalls: " + ", ".join(f"{outcome} {count}" for outcome, count in books.outcomes.most_common()))
    print("explanations: " + ", ".join(f"{outcome} {count}" for outcome, count in load.explained.most_common()))
    print(f"not sent, because {MOST_UNDER_WAY} were under way: {load.held_back}")
    if load.latencies:
        p50, p99 = np.percentile(load.latencies, [50, 99])
        print(f"answered in p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"wrong answers: {len(books.wrong)}" + "".join(f"\n  {wrong}" for wrong in sorted(set(books.wrong))[:10]))
    print(f"audit trail: {balance or f'whole; each of {books.given.total()} answers has its record'}")
    rows, slope = memory.table(minutes / 5)
    print(f"\n{rows}\nflat is below {FLAT_MIB_PER_MINUTE} MiB per minute")
    strange = books.outcomes.keys() - EXPLAINED - {ANSWERED}
    if strange:
        print(f"not explained by any fault: {', '.join(sorted(strange))}")
    well = not (books.wrong or balance or strange) and gateway.alive and slope < FLAT_MIB_PER_MINUTE
    print("well" if well else "NOT WELL")
    return well


def main() -> None:
    """Soak; exit 1 when something was lost, wrong or growing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.8, help="of the measured capacity")
    parser.add_argument("--every", type=float, default=20.0, help="seconds from one fault to the next")
    parser.add_argument("--capacity-seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--store", choices=[kind.value for kind in StoreKind], help="default: PostgreSQL, if it is there"
    )
    options = parser.parse_args()
    kind = StoreKind(options.store or (StoreKind.POSTGRESQL if initdb() else StoreKind.SQLITE))
    print(f"{options.minutes:.0f} minutes, store {kind}, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder)) as bench:
        well = asyncio.run(soak(bench, kind, options))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
