"""Live recordings on the embedded mesh: how long an answer takes, what falls behind, and what alarms. Prints Markdown.

    python -m benchmarks.live [--streams 1 4 8] [--seconds 30] [--records 400]

First so many sources at once, each at its own pace with a window every second, old windows giving way: the delay is
from the sending of a window's last sample to its answer. Then records of PTB-XL fold 8 (CARDIOMESH_DATA, default
../shared/data) as one recording, a window each: what would have raised an alarm, and what the cardiologists' codes say.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality_roc import RATE, load
from cardiomesh.client import AsyncClient, AsyncLiveStream, LiveSkipped, LiveWindow
from cardiomesh.local import Mesh

_CHUNK_S = 0.2
MODEL = "hybrid_mobile"


def main() -> None:
    """Run both parts on one mesh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--records", type=int, default=400)
    asked = parser.parse_args()
    root = Path(os.environ.get("CARDIOMESH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    signals, table = load(root)
    rows = np.flatnonzero(table["strat_fold"].to_numpy() == 8)[: asked.records]
    with tempfile.TemporaryDirectory() as folder, Mesh(directory=Path(folder)) as mesh:
        asyncio.run(report(mesh, asked.streams, asked.seconds, signals[rows], list(table["scp_codes"].iloc[rows])))


async def report(
    mesh: Mesh, streams: Sequence[int], seconds: float, records: npt.NDArray[np.int16], codes: Sequence[object]
) -> None:
    """Both tables."""
    async with AsyncClient(mesh.addresses.gateway, credential=mesh.api_key) as client:
        print("| sources | windows answered | skipped | delay p50 (ms) | p99 |\n|---|---|---|---|---|")
        tape = np.concatenate(list(records[:12]), axis=1)
        for count in streams:
            runs = await asyncio.gather(*(paced(client, tape, seconds) for _ in range(count)))
            delays = np.concatenate([delays for delays, _ in runs]) * 1e3
            skipped = sum(skipped for _, skipped in runs)
            p50, p99 = np.percentile(delays, (50, 99))
            print(f"| {count} | {len(delays)} | {skipped} | {p50:.0f} | {p99:.0f} |", flush=True)
        await alarms(client, records, codes)


async def paced(
    client: AsyncClient, tape: npt.NDArray[np.int16], seconds: float
) -> tuple[npt.NDArray[np.float64], int]:
    """One source at its own pace: the delay of each answer (s), and how many windows were skipped."""
    size, sent, delays, skipped = round(_CHUNK_S * RATE), dict[int, float](), list[float](), 0
    stream = client.stream(RATE, unit="uV", sample_type="int16", stride=1, model=MODEL, when_behind="skip")

    async def feed() -> None:
        due = time.perf_counter()
        for first in range(0, min(tape.shape[1], round((seconds + 10) * RATE)), size):
            due += _CHUNK_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            chunk = tape[:, first : first + size]
            sent[first + chunk.shape[1]] = time.perf_counter()
            await stream.send(chunk)
        await stream.finish()

    async with stream:
        sender = asyncio.ensure_future(feed())
        async for part in stream:
            if isinstance(part, LiveWindow):
                delays.append(time.perf_counter() - sent[part.first_sample + 10 * RATE])
            elif isinstance(part, LiveSkipped):
                skipped += part.last_index - part.first_index + 1
        await sender
    return np.array(delays), skipped


async def alarms(client: AsyncClient, records: npt.NDArray[np.int16], codes: Sequence[object]) -> None:
    """Each record as one window; an alarm is cleared by the next that could show it and does not."""
    stream = client.stream(RATE, unit="uV", sample_type="int16", stride=10, model=MODEL, clear_after=1)
    raised, labels = Counter[str](), dict[str, list[str]]()
    refused, started = 0, time.perf_counter()

    async with stream:
        sender = asyncio.ensure_future(_all_of(stream, records))
        async for part in stream:
            if not isinstance(part, LiveWindow):
                continue
            refused += part.error is not None
            if part.critical:
                for code in part.active_alarms:
                    raised[code] += 1
                    labels.setdefault(code, []).append(str(codes[part.index]))
        await sender
    seconds = time.perf_counter() - started
    print(f"\n{len(records)} records, {refused} refused, {len(records) / seconds:.0f} windows a second on one stream\n")
    print("| alarm | records | their codes |\n|---|---|---|")
    for code, count in raised.most_common():
        print(f"| {code} | {count} | {'; '.join(labels[code][:8])} |")


async def _all_of(stream: AsyncLiveStream, records: npt.NDArray[np.int16]) -> None:
    for record in records:
        await stream.send(record)
    await stream.finish()


if __name__ == "__main__":
    main()
