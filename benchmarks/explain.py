"""What explanations cost, with one prediction as the unit.

Run by ``make bench-explain``. A prediction is one ``Analyze`` of the sample ECG, nothing from the cache; an
explanation is one ``Explain`` of its strongest finding, by the same way. Predictions and explanations
are timed in turn within one run; medians are printed as multiples of the prediction's. ``benchmarks/flood.py`` measures
what explanations cost the predictions beside them.
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
#: Explanations stand back while predictions are asked for; what they cost alone is measured when that is over.
SETTLED_S = 2.5
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
            await asyncio.sleep(SETTLED_S)
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


async def measure(address: str, key: str, options: argparse.Namespace) -> None:
    """The table."""
    file = sample_ecg().read_bytes()
    async with AsyncClient(address, credential=key, timeout=60) as client:
        result = await client.analyze(file=file)
        of_beats = [finding for finding in result.findings if finding.kind != "rhythm"]  # what every method can explain
        code = max(of_beats, key=lambda finding: (finding.present, finding.probability)).code
        await client.explain(code, file=file, methods=METHODS, timeout=300)  # warm-up
        await costs(client, file, code, options.rounds)


def main() -> None:
    """Start the mesh, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way")
    options = parser.parse_args()
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder, Mesh(directory=Path(folder)) as mesh:
        asyncio.run(measure(mesh.addresses.gateway, mesh.api_key, options))


if __name__ == "__main__":
    main()
