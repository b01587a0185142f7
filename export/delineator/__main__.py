"""Train the wave segmenter: ``python -m export.delineator train|cross-validate``.

Each network is trained on LUDB alone, then further with PTB-XL's rhythm statements beside it. Where a P wave stands
on PTB-XL a teacher says: a first network that went through both steps. ``--start`` and ``--teacher`` take networks
that are there instead of training them again.
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
from export.delineator.train import FOLDS, REFINE_STEPS, STEPS, TEACHER_STEPS, fit, in_fold, refine
from export.delineator.weights import read, write

ROOT = Path(__file__).resolve().parents[2]
#: The records that may be looked at: the other hundred of LUDB are kept out as a test set.
NUMBERS = range(1, 101)
ABOUT = {
    "data": "LUDB 1.0.1 ids 1-100 (Kalyakulina et al. 2020), ODC-By 1.0; rhythm statements of PTB-XL folds 1-8 "
    "(Wagner et al. 2020), CC BY 4.0",
    "steps": [STEPS, REFINE_STEPS],
}

Groups = dict[str, list[Example]]


class _Stages:
    """The stages of training, each stored as a file in ``folder``."""

    def __init__(self, examples: list[Example], folder: Path) -> None:
        self.examples, self.folder = examples, folder

    def _others(self, fold: int | None) -> list[Example]:
        return [e for e in self.examples if fold is None or in_fold(e.number) != fold]

    def first(self, given: Path | None, fold: int | None) -> Path:
        """A network trained on LUDB alone: the one that is ``given``, or a new one."""
        if given is not None:
            return given
        out = self.folder / f"ludb-{fold}.onnx"
        if not out.is_file():
            write(fit(self._others(fold), STEPS, seed=9 if fold is None else 10 + fold), ABOUT, out)
        return out

    def refined(self, start: Path, groups: Groups, steps: int, fold: int | None, out: Path) -> Path:
        """The network ``start`` trained further with the labelled ``groups``."""
        shared = [(weak.GROUPS[name], group) for name, group in groups.items()]
        seed = 109 if fold is None else 110 + fold
        about = ABOUT if fold is None else {**ABOUT, "without_fold": fold}
        write(refine(read(start), self._others(fold), shared, steps, seed), about, out)
        return out


def _labelled(rhythms: weak.Rhythms, network: Path) -> Groups:
    return weak.labelled(rhythms, Runtime(network.read_bytes()))


def main() -> None:
    """Train on all records, or once for each fold without its records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("train", "cross-validate"))
    parser.add_argument("--data", type=Path, default=os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--start", type=Path, help="network trained on LUDB alone (train), or folder of fold0.onnx, …")
    parser.add_argument("--teacher", type=Path, help="network that says where P waves stand on PTB-XL")
    parser.add_argument("--out", type=Path, help="file (train) or folder (cross-validate)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rhythms = weak.load(Path(arguments.data))
    with tempfile.TemporaryDirectory() as folder:
        stages = _Stages(load(Path(arguments.data) / "ludb", NUMBERS), Path(folder))
        alone = arguments.command == "train"
        teacher: Path | None = arguments.teacher
        if teacher is None:
            first = stages.first(arguments.start if alone else None, None)
            teacher = stages.refined(
                first, _labelled(rhythms, first), TEACHER_STEPS, None, Path(folder) / "teacher.onnx"
            )
        groups = _labelled(rhythms, teacher)
        if alone:
            out = arguments.out or ROOT / "cardiomesh" / "ecg" / "delineation" / "segmenter.onnx"
            stages.refined(stages.first(arguments.start, None), groups, REFINE_STEPS, None, out)
            return
        out = arguments.out or ROOT / "export" / "delineator" / "folds"
        out.mkdir(parents=True, exist_ok=True)
        for fold in range(FOLDS):
            given = arguments.start / f"fold{fold}.onnx" if arguments.start else None
            stages.refined(stages.first(given, fold), groups, REFINE_STEPS, fold, out / f"fold{fold}.onnx")


if __name__ == "__main__":
    main()
