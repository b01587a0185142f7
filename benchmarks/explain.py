"""What explanations cost, with one prediction as the unit, and what they cost the predictions beside them.

Run by ``make bench-explain``. A prediction is one ``Analyze`` of the sample ECG, nothing from the cache; an
explanation is one ``Explain`` of its strongest finding, by the same way. Predictions and explanations
are timed in turn within one run; medians are printed as multiples of the prediction's. Then predictions without a pause
by one caller, alone and beside callers that ask for explanations by every method without a pause, in rounds (A B A B);
a refused explanation is asked for again after the pause that the mesh asks for, shortened to 0.2 s. The load generator
shares the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from cardiomesh.cli.demo import sample_ecg
from cardiomesh.client import METHODS, AsyncClient
from cardiomesh.errors import CardioMeshError
from cardiomesh.local import Mesh

ATTRIBUTION = ("gradient_x_input", "grad_cam")
#: Asked for by name, so that a method that is switched off for the model is timed, too.
SETS = {
    "rules": ("rules",),
    "attribution": ATTRIBUTION,
    "integrated_gradients": ("integrated_gradients",),
    "lime": ("lime",),
    "counterfactual": ("counterfactual",),
    "all methods": METHODS,
}
LIMITS = {"rules": 1.0, "attribution": 4.0, "all methods": 200.0}


async def predict(client: AsyncClient, file: bytes) -> float:
    """Milliseconds of one prediction."""
    started = time.perf_counter()
    await client.analyze(file=file, bypass_cache=True)
    return (time.perf_counter() - started) * 1e3


async def costs(client: AsyncClient, file: bytes, code: str, rounds: int) -> None:
    """The table of costs."""
    unit: list[float] = []
    wall: dict[str, list[float]] = {name: [] for name in SETS}
    inside: dict[str, list[float]] = {name: [] for name in SETS}
    for _ in range(rounds):
        for name, methods in SETS.items():
            unit += [await predict(client, file) for _ in range(5)]
            started = time.perf_counter()
            why = await client.explain(code, file=file, methods=methods, timeout=300)
            wall[name].append((time.perf_counter() - started) * 1e3)
            parts = (*why.attributions, *why.limes, *why.counterfactuals, *((why.rules,) if why.rules else ()))
            inside[name].append(sum(part.compute_milliseconds for part in parts))
            if why.missing:
                print(f"{name}: missing {', '.join(f'{m.method} ({m.reason})' for m in why.missing)}")
    one = statistics.median(unit)
    print(
        f"\none prediction: {one:.1f} ms\n\n{'explanation':<22} {'ms':>8} {'predictions':>12} {'in methods':>11}  limit"
    )
    for name in SETS:
        whole, own = statistics.median(wall[name]), statistics.median(inside[name])
        limit = f"<= {LIMITS[name]:g} {'kept' if own / one <= LIMITS[name] else 'MISSED'}" if name in LIMITS else ""
        print(f"{name:<22} {whole:>8.0f} {whole / one:>12.1f} {own / one:>11.1f}  {limit}")


async def flooded(
    client: AsyncClient, file: bytes, code: str, callers: int, seconds: float
) -> tuple[list[float], int, int]:
    """Latencies of predictions beside ``callers`` of explanations; how many of these were answered and refused."""
    answered = refused = 0
    over = asyncio.Event()

    async def flood() -> None:
        nonlocal answered, refused
        while not over.is_set():
            try:
                await client.explain(code, file=file, methods=METHODS, timeout=60)
                answered += 1
            except CardioMeshError:
                refused += 1
                await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(flood()) for _ in range(callers)]
    if callers:
        await asyncio.sleep(2.0)
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        latencies.append(await predict(client, file))
    over.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return latencies, answered, refused


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def beside(client: AsyncClient, file: bytes, code: str, callers: int, seconds: float, rounds: int) -> None:
    """The table of what predictions pay."""
    rows: dict[str, list[tuple[float, float]]] = {"alone": [], "flooded": []}
    answered = refused = 0
    for _ in range(rounds):
        for name, count in (("alone", 0), ("flooded", callers)):
            latencies, yes, no = await flooded(client, file, code, count, seconds)
            rows[name].append((percentile(latencies, 0.5), percentile(latencies, 0.99)))
            answered, refused = answered + yes, refused + no
    print(f"\n{callers} callers of explanations: {answered} answered, {refused} refused\n")
    print(f"{'predictions':<12} {'p50 ms':>8} {'p99 ms':>8}")
    middle = {
        name: [statistics.median(column) for column in zip(*values, strict=True)] for name, values in rows.items()
    }
    for name, (p50, p99) in middle.items():
        print(f"{name:<12} {p50:>8.1f} {p99:>8.1f}")
    ratio = middle["flooded"][1] / middle["alone"][1]
    print(f"p99 ratio {ratio:.2f}, limit <= 1.2 {'kept' if ratio <= 1.2 else 'MISSED'}")


async def measure(address: str, key: str, options: argparse.Namespace) -> None:
    """Both tables."""
    file = sample_ecg().read_bytes()
    async with AsyncClient(address, credential=key, timeout=60) as client:
        result = await client.analyze(file=file)
        of_beats = [finding for finding in result.findings if finding.kind != "rhythm"]  # what every method can explain
        code = max(of_beats, key=lambda finding: (finding.present, finding.probability)).code
        await client.explain(code, file=file, methods=METHODS, timeout=300)  # warm-up
        await costs(client, file, code, options.rounds)
        await beside(client, file, code, options.callers, options.seconds, options.rounds)


def main() -> None:
    """Start the mesh, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of one measurement of predictions")
    parser.add_argument("--callers", type=int, default=8, help="callers of explanations without a pause")
    options = parser.parse_args()
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder, Mesh(directory=Path(folder)) as mesh:
        asyncio.run(measure(mesh.addresses.gateway, mesh.api_key, options))


if __name__ == "__main__":
    main()
