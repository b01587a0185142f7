"""Train the wave segmenter on LUDB: ``python -m export.delineator train|cross-validate``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from export.delineator.data import load
from export.delineator.train import FOLDS, STEPS, fit, in_fold
from export.delineator.weights import folded, write

ROOT = Path(__file__).resolve().parents[2]
#: The records that may be looked at: the other hundred of LUDB are kept out as a test set.
NUMBERS = range(1, 101)


def main() -> None:
    """Train on all records, or once for each fold without its records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("train", "cross-validate"))
    parser.add_argument("--data", type=Path, default=os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, help="weights file (train) or folder (cross-validate)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    examples = load(Path(arguments.data) / "ludb", NUMBERS)
    about = {"data": "LUDB 1.0.1 ids 1-100 (Kalyakulina et al. 2020), ODC-By 1.0", "steps": arguments.steps}
    if arguments.command == "train":
        model = fit(examples, arguments.steps, seed=9)
        write(folded(model, about), arguments.out or ROOT / "cardiomesh" / "ecg" / "delineation" / "weights.npz")
        return
    folder = arguments.out or ROOT / "export" / "delineator" / "folds"
    folder.mkdir(parents=True, exist_ok=True)
    for fold in range(FOLDS):
        model = fit([e for e in examples if in_fold(e.number) != fold], arguments.steps, seed=10 + fold)
        write(folded(model, {**about, "without_fold": fold}), folder / f"fold{fold}.npz")


if __name__ == "__main__":
    main()
