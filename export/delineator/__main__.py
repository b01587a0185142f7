"""Train the wave segmenter: ``python -m export.delineator train|cross-validate``.

First on LUDB alone, then in rounds with PTB-XL's rhythm statements beside it, each round taught by the network of the
last one. ``--start`` takes networks of the first stage instead of training them again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import torch

from cardiomesh.ecg.delineation.network import Segmenter as Runtime
from export.delineator import weak
from export.delineator.data import Example, load
from export.delineator.train import FOLDS, REFINE_STEPS, STEPS, fit, in_fold, refine
from export.delineator.weights import read, write

ROOT = Path(__file__).resolve().parents[2]
#: The records that may be looked at: the other hundred of LUDB are kept out as a test set.
NUMBERS = range(1, 101)
ROUNDS = 2


def _train(
    examples: list[Example], rhythms: weak.Rhythms, start: Path | None, out: Path, seed: int, fold: int | None
) -> None:
    """One network from LUDB's ``examples`` and the ``rhythms`` to the file ``out``."""
    about: dict[str, object] = {
        "data": "LUDB 1.0.1 ids 1-100 (Kalyakulina et al. 2020), ODC-By 1.0; rhythm statements of PTB-XL folds 1-8 "
        f"({sum(map(len, rhythms.values()))} records; Wagner et al. 2020), CC BY 4.0",
        "steps": [STEPS, *[REFINE_STEPS] * ROUNDS],
    }
    if fold is not None:
        about["without_fold"] = fold
    with tempfile.TemporaryDirectory() as folder:
        taught = start or Path(folder) / "ludb.onnx"
        if start is None:
            write(fit(examples, STEPS, seed), about, taught)
        for number in range(ROUNDS):
            groups = weak.labelled(rhythms, Runtime(taught.read_bytes()))
            shared = [(weak.GROUPS[name], group) for name, group in groups.items()]
            model = refine(read(taught), examples, shared, REFINE_STEPS, seed + 100 * (number + 1))
            taught = Path(folder) / f"round{number}.onnx"
            write(model, about, taught)
        out.write_bytes(taught.read_bytes())


def main() -> None:
    """Train on all records, or once for each fold without its records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("train", "cross-validate"))
    parser.add_argument("--data", type=Path, default=os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--start", type=Path, help="network trained on LUDB alone (train) or folder of them")
    parser.add_argument("--out", type=Path, help="file (train) or folder (cross-validate)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    examples = load(Path(arguments.data) / "ludb", NUMBERS)
    rhythms = weak.load(Path(arguments.data))
    if arguments.command == "train":
        out = arguments.out or ROOT / "cardiomesh" / "ecg" / "delineation" / "segmenter.onnx"
        _train(examples, rhythms, arguments.start, out, seed=9, fold=None)
        return
    folder = arguments.out or ROOT / "export" / "delineator" / "folds"
    folder.mkdir(parents=True, exist_ok=True)
    for fold in range(FOLDS):
        start = arguments.start / f"fold{fold}.onnx" if arguments.start else None
        others = [e for e in examples if in_fold(e.number) != fold]
        _train(others, rhythms, start, folder / f"fold{fold}.onnx", seed=10 + fold, fold=fold)


if __name__ == "__main__":
    main()
