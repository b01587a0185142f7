"""What is measured on PTB-XL against what its cardiologists wrote. Prints; writes nothing.

``python benchmarks/rhythms.py [--data DIR]``: P waves by rhythm statement, PR in first-degree block, ectopic, paced
and wide beats. The network's training saw the rhythm statements of folds 1 to 8; fold 9 is new to it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402  after the thread limits
import numpy.typing as npt  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from cardiomesh.ecg.delineation import delineate  # noqa: E402
from cardiomesh.ecg.leads import STANDARD_LEADS  # noqa: E402
from cardiomesh.ecg.measurements import Measurement, Measurements, Status, measure  # noqa: E402
from cardiomesh.ecg.recording import Patient, Recording  # noqa: E402
from export.training.ptbxl import read_ptbxl  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SINUS = {"SR", "SBRAD", "STACH", "SARRH"}
Mask = npt.NDArray[np.bool_]

#: Statements of a row, and what excludes a record from it.
GROUPS: dict[str, tuple[set[str], set[str]]] = {
    "SR": ({"SR"}, {"AFIB", "1AVB"}),
    "SBRAD": ({"SBRAD"}, {"AFIB", "1AVB"}),
    "STACH": ({"STACH"}, {"AFIB"}),
    "SARRH": ({"SARRH"}, {"AFIB"}),
    "1AVB": ({"1AVB"}, {"AFIB"}),
    "CLBBB in sinus rhythm": ({"CLBBB"}, {"AFIB", "AFLT", "PACE"}),
    "AFIB": ({"AFIB"}, set()),
    "AFLT": ({"AFLT"}, set()),
}


def value(m: Measurement) -> float:
    """The number, NaN where there is none."""
    return np.nan if m.value is None else m.value


def row(name: str, says: Mask, is_so: Mask, not_so: Mask) -> str:
    """Sensitivity and specificity of a measurement for a statement."""
    return (
        f"| {name} | {100 * says[is_so].mean():.1f} % of {is_so.sum()} | "
        f"{100 * (1 - says[not_so].mean()):.1f} % of {not_so.sum()} |"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    arguments = parser.parse_args()
    table, signals = read_ptbxl(arguments.data)
    found: list[Measurements] = []
    for (millivolts, rate), age in zip(signals, table["age"], strict=True):
        patient = Patient(age_years=None if np.isnan(age) else int(age))
        recording = Recording(STANDARD_LEADS, millivolts, rate, "wfdb", patient=patient)
        found.append(measure(recording, delineate(millivolts, rate)))
    codes = [set(c) for c in table["codes"]]
    new = table["strat_fold"].to_numpy() == 9

    def has(*any_of: str) -> Mask:
        return np.array([bool(c & set(any_of)) for c in codes])

    def all_of(read: Callable[[Measurements], Measurement]) -> npt.NDArray[np.float64]:
        return np.array([value(read(m)) for m in found])

    shown = np.array([m.rhythm.p_waves.status is Status.MEASURED for m in found])
    absent = np.array([m.rhythm.p_waves.status is Status.ABSENT for m in found])
    uneven = all_of(lambda m: m.rhythm.rr_irregularity) > 0.05
    print(
        "| statement | folds | records | P waves measured | absent | absent and irregular |\n|---|---|---|---|---|---|"
    )
    for name, (wanted, without) in GROUPS.items():
        for folds, part in (("1-8", ~new), ("9", new)):
            mask = has(*wanted) & ~has(*without) & part
            shares = (100 * x[mask].mean() for x in (shown, absent, absent & uneven))
            print(f"| {name} | {folds} | {mask.sum()} | {' | '.join(f'{s:.1f} %' for s in shares)} |")

    pr = all_of(lambda m: m.intervals.pr)
    sinus = has(*SINUS, "1AVB") & ~has("AFIB", "AFLT", "PACE")
    block, no_block = sinus & has("1AVB"), sinus & ~has("1AVB", "LPR")
    print("\n| measured | of records with the statement | of those without |\n|---|---|---|")
    for folds, part in (("1-9", np.ones_like(new)), ("9", new)):
        print(row(f"PR > 200 ms for 1AVB, folds {folds}", pr > 200, block & part, no_block & part))
    adjusted = all_of(lambda m: m.intervals.pr_rate_adjusted)
    for folds, part in (("1-9", np.ones_like(new)), ("9", new)):
        print(row(f"rate-adjusted PR > 205 ms for 1AVB, folds {folds}", adjusted > 205, block & part, no_block & part))
    print(row("absent P waves, irregular, for AFIB", absent & uneven, has("AFIB"), ~has("AFIB")))
    fluttering = np.isfinite(all_of(lambda m: m.rhythm.flutter_rate))
    for folds, part in (("1-8", ~new), ("9", new)):
        print(row(f"flutter waves for AFLT, folds {folds}", fluttering, has("AFLT") & part, ~has("AFLT") & part))
    ventricular = all_of(lambda m: m.rhythm.premature_ventricular_beats)
    print(row("a premature ventricular beat for PVC", ventricular >= 1, has("PVC", "BIGU", "TRIGU"), ~has("PVC")))
    early = all_of(lambda m: m.rhythm.premature_supraventricular_beats)
    print(row("a premature supraventricular beat for PAC", early >= 1, has("PAC"), ~has("PAC") & np.isfinite(early)))
    print(
        row(
            "a fifth of the beats paced for PACE",
            all_of(lambda m: m.rhythm.paced_beats) >= 0.2,
            has("PACE"),
            ~has("PACE"),
        )
    )
    qrs = all_of(lambda m: m.intervals.qrs)
    for name in ("CLBBB", "CRBBB"):
        print(row(f"QRS >= 120 ms for {name}", qrs >= 120, has(name), ~has("CLBBB", "CRBBB", "IVCD", "PACE", "WPW")))
    rate = all_of(lambda m: m.rhythm.heart_rate)
    print(row("rate > 100/min for STACH", rate > 100, has("STACH"), sinus & ~has("STACH")))
    print(row("rate < 60/min for SBRAD", rate < 60, has("SBRAD"), sinus & ~has("SBRAD")))
    for name, values in (("PR", pr), ("rate-adjusted PR", adjusted)):
        known = np.isfinite(values) & (block | no_block)
        auc = roc_auc_score(block[known], values[known])
        print(f"\n{name} tells 1AVB from other sinus rhythms: AUC {auc:.3f}, {known.sum()} records")
    upstroke = all_of(lambda m: m.intervals.qrs_upstroke)
    for name in ("NORM", "WPW"):
        low, middle, high = np.nanpercentile(upstroke[has(name)], (5, 50, 95))
        print(f"QRS upstroke in {name}: median {middle:.0f} ms (5th to 95th percentile {low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
