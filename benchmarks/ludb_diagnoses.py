"""Which of LUDB's diagnoses the models find, and whether its hypertrophies are ones that an ECG shows.

    python benchmarks/ludb_diagnoses.py [--model NAME]

Reads CARDIOMESH_DATA (default ../shared/data); integers as microvolts. Diagnoses of at least four records.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cardiomesh.cards import CARD_FILE, load_card
from cardiomesh.ecg.leads import STANDARD_LEADS
from export.calibration.heads import judge
from export.publishing.repository import newest_folder
from export.training.labels import SUPERCLASSES
from export.training.ludb import load_ludb, read_record
from export.training.ptbxl import default_data_folder
from export.validation.metrics import auc
from export.validation.scoring import open_model

REPOSITORY = Path("model_repository")
COLUMNS = ("Rhythms", "Conduction abnormalities", "Extrasystolies", "Hypertrophies", "Cardiac pacing", "Ischemia",
           "Non-specific repolarization abnormalities")  # fmt: skip
LEAST = 4
#: Sokolow-Lyon: S in V1 and the larger R in V5 or V6 reach this (mV).
SOKOLOW_MV = 3.5


def diagnoses(table: pd.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """Each diagnosis as a column of zeros and ones, the commonest first."""
    found: dict[str, npt.NDArray[np.float64]] = {}
    for column in COLUMNS:
        for row, text in enumerate(table[column].fillna("")):
            for line in filter(None, (part.strip(" .") for part in str(text).split("\n"))):
                found.setdefault(line, np.zeros(len(table)))[row] = 1
    return dict(sorted(found.items(), key=lambda item: -item[1].sum()))


def sokolow(folder: Path, number: int) -> float:
    """The Sokolow-Lyon voltage of a record in mV: medians over windows of 1.4 s."""
    x = read_record(folder / "ludb", number, calibrated=True)
    x = (x - np.median(x, axis=1, keepdims=True))[:, :4900].reshape(12, 7, 700)
    r, s = np.median(x.max(axis=2), axis=1), -np.median(x.min(axis=2), axis=1)
    lead = STANDARD_LEADS.index
    return float(s[lead("V1")] + max(r[lead("V5")], r[lead("V6")]))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ensemble")
    folder = default_data_folder()
    if folder is None:
        raise SystemExit("set CARDIOMESH_DATA")
    card = load_card(newest_folder(REPOSITORY, parser.parse_args().model) / CARD_FILE)
    signals, _, ids = load_ludb(folder, calibrated=True)
    p = judge(card.heads, open_model(REPOSITORY, card).logits(signals)).probability
    codes = [s.code for s in card.statements]
    table = pd.read_csv(folder / "ludb" / "ludb_superclass.csv")
    print(f"{card.name} {card.version}: AUC of each superclass, and the three statements that tell a diagnosis best")
    print(f"{'LUDB diagnosis':<62} {'n':>3}  {'  '.join(f'{c:>4}' for c in SUPERCLASSES)}  best")
    found = diagnoses(table)
    for name, y in found.items():
        if y.sum() < LEAST:
            continue
        areas = [auc(y, p[:, k]) for k in range(len(codes))]
        best = ", ".join(f"{codes[k]} {areas[k]:.2f}" for k in np.argsort(areas)[::-1][:3])
        print(f"{name[:62]:<62} {int(y.sum()):>3}  {'  '.join(f'{a:4.2f}' for a in areas[:5])}  {best}")
    voltage = np.array([sokolow(folder, int(number)) for number in ids])
    high, lvh = voltage >= SOKOLOW_MV, found["Left ventricular hypertrophy"] > 0
    print(f"\nSokolow-Lyon ≥ {SOKOLOW_MV} mV: {int(high.sum())} of {len(high)} records")
    print(f"  of the {int(lvh.sum())} labelled left ventricular hypertrophy: {high[lvh].mean():.0%}")
    print(f"  of the others: {high[~lvh].mean():.0%}")
    for code in ("HYP", "LVH"):
        area = auc(high.astype(np.float64), p[:, codes.index(code)])
        print(f"  AUC of the model's {code} for that voltage: {area:.2f}")


if __name__ == "__main__":
    main()
