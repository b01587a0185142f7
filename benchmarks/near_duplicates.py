"""How surely the same recording is known again in another form, and how seldom another is taken for it. PTB-XL.

    python -m benchmarks.near_duplicates [--data DIR] [--every N]

Every N-th recording, and every recording of a patient who has several, is re-written in other forms; both ways through
the preprocessor's conditioning. Found: the two share a landmark, as the look-up needs, and are at least as alike as the
threshold. Recordings below 9.8 s are refused by the preprocessor, so that trimmed ones come from longer originals in
service; here the fingerprint is taken all the same. Recordings of one patient that bear the same second are listed, not
counted: PTB-XL holds some twice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from cardiomesh.ecg.conditioning import condition
from export.training.ptbxl import default_data_folder, read_ptbxl
from gateway.duplicates.alike import ALIKE, similarity
from preprocessor.fingerprint import Fingerprint, fingerprint

RATE = 500
THRESHOLDS = (0.3, 0.4, ALIKE, 0.6, 0.7)
Array = npt.NDArray[np.float64]


def forms(x: Array, random: np.random.Generator) -> Iterator[tuple[str, Array, float]]:
    """Name, millivolts and rate of each other form of one recording."""
    yield "another container, steps of 5 µV", np.round(x / 0.005) * 0.005, RATE
    for down in (2, 5):
        yield f"resampled to {RATE // down} Hz", resample_poly(x, 1, down, axis=1, padtype="line"), RATE / down
    for seconds in (1, 2, 3, 5):
        lost = seconds * RATE
        start = int(random.integers(0, lost + 1))
        kept = x[:, start : x.shape[1] - (lost - start)]
        yield f"{seconds} s trimmed", kept, RATE
        if seconds == 5:
            yield f"{seconds} s trimmed, 100 Hz", resample_poly(kept, 1, 5, axis=1, padtype="line"), RATE / 5


def alike(one: Fingerprint, other: Fingerprint) -> float:
    """As the look-up finds it: nothing without a common landmark."""
    return similarity(one.beats, other.beats) if set(one.landmarks) & set(other.landmarks) else 0.0


def row(name: str, values: Sequence[float]) -> None:
    """How many reach each threshold."""
    found = np.array(values)
    cells = " | ".join(f"{(found >= limit).mean():.4f} ({(found >= limit).sum()})" for limit in THRESHOLDS)
    print(f"| {name} | {len(found)} | {cells} | {np.median(found):.2f} | {found.min():.2f}-{found.max():.2f} |")


def main() -> None:
    """Print one row per form, then those that are not the same recording."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--every", type=int, default=5)
    asked = parser.parse_args()
    if asked.data is None:
        raise SystemExit("no data: give the folder that holds ptbxl/ with --data or CARDIOMESH_DATA")
    table, signals = read_ptbxl(asked.data)
    several = table["patient_id"].duplicated(keep=False).to_numpy()
    chosen: list[tuple[Any, Array]] = [
        (table.iloc[k], np.asarray(x)) for k, (x, _) in enumerate(signals) if several[k] or k % asked.every == 0
    ]
    conditioned = [condition(x, RATE) for _, x in chosen]
    started = time.process_time()
    prints = [fingerprint(x) for x in conditioned]
    spent = (time.process_time() - started) / len(prints) * 1e3
    sizes = [len(p.landmarks) for p in prints]
    print(f"{len(prints)} recordings, {spent:.1f} ms each, {sum(not n for n in sizes)} without enough beats,")
    print(f"{np.mean(sizes):.1f} landmarks each\n")
    print(f"| form | pairs | {' | '.join(f'at {limit}' for limit in THRESHOLDS)} | median | range |")
    print("|---|---|" + "---|" * (len(THRESHOLDS) + 2))
    random, found = np.random.default_rng(0), dict[str, list[float]]()
    for (_, x), original in zip(chosen, prints, strict=True):
        for name, other, rate in forms(x, random):
            found.setdefault(name, []).append(alike(original, fingerprint(condition(other, rate))))
    for name, values in found.items():
        row(name, values)
    same, others, twice = [], [], []
    for (one, a), (two, b) in combinations(zip([facts for facts, _ in chosen], prints, strict=True), 2):
        value = alike(a, b)
        if one["patient_id"] != two["patient_id"]:
            others.append(value)
        elif one["recording_date"] == two["recording_date"]:
            twice.append((int(one["ecg_id"]), int(two["ecg_id"]), value))
        else:
            same.append(value)
    row("another recording, same patient", same)
    row("another recording, another patient", others)
    print("\nTwice in PTB-XL (patient and second): " + "; ".join(f"{a} and {b}: {v:.2f}" for a, b, v in twice))


if __name__ == "__main__":
    main()
