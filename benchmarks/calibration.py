"""What calibration gains on fold 9, by cross-fitting: none, one line per head, a line per class at each strength.

    python benchmarks/calibration.py [--model NAME]

Reads CARDIOMESH_DATA (default ../shared/data). Log-loss over all statements decides; the calibration error is reported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cardiomesh.cards import CARD_FILE, load_card
from export.calibration.folds import patient_folds
from export.calibration.heads import card_space
from export.calibration.logistic import STRENGTHS, fit_calibrator, log_loss, sigmoid
from export.calibration.reliability import calibration_error, class_calibration_error, noise_floor
from export.publishing.repository import newest_folder
from export.training.labels import SUPERCLASSES, targets
from export.training.ptbxl import load_ptbxl
from export.training.settings import VALIDATION_FOLD
from export.validation.scoring import open_model

REPOSITORY = Path("model_repository")
#: So strong that classes keep nothing of their own.
COMMON = 1e7


def main() -> None:
    """Print one row per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append")
    records = load_ptbxl(cache=Path("runs/cache"), folds=(VALIDATION_FOLD,))
    part, n = patient_folds(records.table["patient_id"].to_numpy(), 10), len(SUPERCLASSES)
    for name in parser.parse_args().model or ["edge_optimized", "hybrid_mobile", "ensemble"]:
        card = load_card(newest_folder(REPOSITORY, name) / CARD_FILE)
        logits = open_model(REPOSITORY, card).logits(np.array(records.signals))["statements"]
        truth = targets(records, card_space(card))["statements"]
        print(f"{name} {card.version}              log-loss   ECE pooled (chance)   ECE per class (chance)")
        for strength in (None, COMMON, *STRENGTHS[::-1]):
            z = logits.astype(np.float64)
            for fold in np.unique(part) if strength is not None else ():
                seen, held = part != fold, part == fold
                z[held] = fit_calibrator(logits[seen], truth[seen], strength or 0)(logits[held])
            p, y = sigmoid(z[:, :n]), truth[:, :n]
            way = {None: "none", COMMON: "one line per head"}.get(strength) or f"per class, strength {strength:g}"
            print(
                f"  {way:<28} {log_loss(z, truth):.5f}    {calibration_error(p, y):.4f} ({noise_floor(p):.4f})"
                f"       {class_calibration_error(p, y):.4f} ({noise_floor(p, per_class=True):.4f})"
            )


if __name__ == "__main__":
    main()
