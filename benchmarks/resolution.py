"""What a container's step does to the answers: PTB-XL fold 9 rounded to the steps that formats are written with.

    python benchmarks/resolution.py [--model hybrid_mobile]

Each lead is rounded as a writer would round it, with the writer's zero at a random place of the step. Both recordings
then go the way of service. Reads CARDIOMESH_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality_roc import load
from cardiomesh.cards import CardStore, ModelCard
from cardiomesh.ecg.conditioning import WINDOW_SAMPLES, condition
from export.calibration.heads import Judged, judge
from export.validation.scoring import Scorer, open_model

ROOT = Path(__file__).resolve().parents[1]
STEPS_UV = (0.25, 0.4, 1.25, 2.5, 4.88)
WITHIN = 1e-3


def _answers(card: ModelCard, model: Scorer, microvolts: npt.NDArray[np.float64]) -> Judged:
    tensors = [condition(record * 1e-3, 500.0)[:, :WINDOW_SAMPLES] for record in microvolts]
    return judge(card.heads, model.logits(np.stack(tensors)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    signals, table = load(folder)
    microvolts = signals[table["strat_fold"].to_numpy() == 9].astype(np.float64)
    random = np.random.default_rng(0)
    zeros = random.random((*microvolts.shape[:2], 1))
    store = CardStore(ROOT / "model_repository")
    print(f"{len(microvolts)} recordings, stored in whole microvolts")
    for name in arguments.model or ["hybrid_mobile"]:
        version = max(int(v.name) for v in (ROOT / "model_repository" / name).iterdir() if v.name.isdigit())
        card = store.get(name, version)
        if card is None:
            raise SystemExit(f"{name} version {version} has no card")
        model = open_model(ROOT / "model_repository", card)

        whole = _answers(card, model, microvolts)
        print(f"\n{name} version {version}")
        print(
            "| step, µV | probabilities within 1e-3 | recordings with all within | 99th centile | most | calls turned |"
        )
        print("|---|---|---|---|---|---|")
        for step in STEPS_UV:
            rounded = _answers(card, model, (np.rint(microvolts / step + zeros) - zeros) * step)
            off = np.abs(rounded.probability - whole.probability)
            turned = int((rounded.called != whole.called).sum())
            print(
                f"| {step:g} | {np.mean(off <= WITHIN):.1%} | {np.mean(off.max(axis=1) <= WITHIN):.1%} "
                f"| {np.percentile(off, 99):.4f} | {off.max():.4f} | {turned} of {off.size} |"
            )


if __name__ == "__main__":
    main()
