"""How well swapped electrodes are suspected: swaps made on real recordings, PTB-XL fold 9 and LUDB 1–100.

    python benchmarks/lead_reversal.py [--fit]

Reads CARDIOMESH_DATA (default ../shared/data). ``--fit`` prints the precision matrix fitted on PTB-XL folds 1–8.
"""

from __future__ import annotations

import argparse
import collections
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality_roc import load
from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads
from cardiomesh.ecg.reversal import suspect_reversal, swaps
from preprocessor.decoding import FileInput, RecordingInput, decode

Conditioned = npt.NDArray[np.float32]
ROWS = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]


def ludb(folder: Path) -> list[Conditioned]:
    """LUDB 1–100, conditioned."""
    records = []
    for number in range(1, 101):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for suffix in ("hea", "dat"):
                archive.write(folder / "ludb" / f"{number}.{suffix}", f"{number}.{suffix}")
        recording = decode(RecordingInput(FileInput(buffer.getvalue())))
        records.append(condition(recording.millivolts, recording.sampling_rate))
    return records


def swapped(x: Conditioned, swap: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The twelve leads as they come with these cables swapped."""
    independent = swap @ x[ROWS]
    leads = dict(zip(INDEPENDENT_LEADS, independent, strict=True))
    leads |= derive_limb_leads(leads)
    return np.stack([leads[lead] for lead in STANDARD_LEADS])


def fit(records: list[Conditioned]) -> npt.NDArray[np.float64]:
    """Inverse of Tyler's covariance of the independent leads."""
    own = np.stack([(r[ROWS, 50:-50].astype(np.float64)) @ r[ROWS, 50:-50].T for r in records])
    own /= np.trace(own, axis1=1, axis2=2)[:, None, None] / 8
    shape = own.mean(axis=0)
    for _ in range(30):
        weights = 8 / np.einsum("ab,nba->n", np.linalg.inv(shape), own)
        shape = (weights[:, None, None] * own).mean(axis=0)
        shape /= np.trace(shape) / 8
    return np.asarray(np.linalg.inv(shape))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fit", action="store_true")
    root = Path(os.environ.get("CARDIOMESH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    arguments = parser.parse_args()
    signals, table = load(root)
    folds = table["strat_fold"].to_numpy()
    if arguments.fit:
        precision = fit([condition(s * 1e-3, 500.0) for s in signals[folds <= 8]])
        print(np.array2string(precision, precision=3, suppress_small=True, separator=", "))
        return
    sets = {"PTB-XL fold 9": [condition(s * 1e-3, 500.0) for s in signals[folds == 9]], "LUDB 1–100": ludb(root)}
    for name, records in sets.items():
        kinds = collections.Counter(s.code for r in records for s in suspect_reversal(r))
        print(f"{name}: {len(records)} recordings as they are, suspected falsely: {dict(kinds)}")
    print(f"\n{'swap':<36}" + "".join(f"{name + ' suspected':>26}{'named right':>13}" for name in sets))
    for swap, matrix in swaps().items():
        row = ""
        for records in sets.values():
            found = [suspect_reversal(swapped(r, matrix)) for r in records]
            right = sum(bool(f) and f[0].swap == swap for f in found)
            row += f"{sum(map(bool, found)) / len(records):>26.1%}{right / len(records):>13.1%}"
        print(f"{swap:<36}{row}")


if __name__ == "__main__":
    main()
