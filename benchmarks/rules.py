"""How well the rules agree with those who labelled PTB-XL (folds 1-9) and LUDB (ids 1-100). Prints; writes a cache.

    python benchmarks/rules.py [--data DIR] [--rule ID …]

Every recording is measured once, by the code that the preprocessor runs; the measurements are kept in runs/cache under
a digest of that code, so that a second run takes seconds. Sensitivity: share of the labelled recordings in which the
rule is met. Specificity: share of the others in which it is not (not met, or not evaluable). 95 % intervals after
Wilson. "near": how many of those that are met without the label, and of those that are not met with it, lie within a
tenth of the rule's one cut-off. PTB-XL codes count as labelled with any likelihood. LUDB's amplitudes are its stored
integers in microvolts.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402  after the thread limits
import numpy.typing as npt  # noqa: E402
import pandas as pd  # noqa: E402
from tqdm import tqdm  # noqa: E402

from cardiomesh.ecg.leads import STANDARD_LEADS, normalise_lead  # noqa: E402
from cardiomesh.ecg.measurements import Measurement, Status  # noqa: E402
from cardiomesh.ecg.recording import MAX_AGE_YEARS, Patient, Recording  # noqa: E402
from cardiomesh.rules import Facts, State, evaluate, load_rules  # noqa: E402
from cardiomesh.rules.trace import Trace  # noqa: E402
from export.training.ptbxl import default_data_folder, import_wfdb, read_ptbxl  # noqa: E402
from preprocessor.measuring import measurements_of  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "runs" / "cache"
STATUSES = (Status.MEASURED, Status.ABSENT, Status.NOT_EVALUABLE)
#: PTB-XL's reports often say what its codes leave out: first-degree block by any of its names, code or report.
ANY_1AVB = "1AVB, LPR or so in the report"
_SAID_1AVB = r"a-?v[- ]block|prolonged pr|pr interval is prolonged"
#: What LUDB calls the statements; a recording is labelled when one of its entries starts with one of these.
LUDB = {
    "SR": ("Sinus rhythm", "Sinus arrhythmia"),
    "SBRAD": ("Sinus bradycardia",),
    "STACH": ("Sinus tachycardia",),
    "AFIB": ("Atrial fibrillation",),
    "AFLT": ("Atrial flutter",),
    "1AVB": ("I degree av block",),
    "3AVB": ("Iii degree av-block",),
    "CLBBB": ("Complete left bundle",),
    "ILBBB": ("Incomplete left bundle",),
    "CRBBB": ("Complete right bundle",),
    "IRBBB": ("Incomplete right bundle",),
    "IVCD": ("Non-specific intravintricular",),
    "LAFB": ("Left anterior hemiblock",),
    "PVC": ("Ventricular extrasystole",),
    "PAC": ("Atrial extrasystole",),
    "PACE": ("Pacemaker presence", "Unipolar", "Bipolar ventricular", "Biventricular"),
    "LVH": ("Left ventricular hypertrophy",),
    "RVH": ("Right ventricular hypertrophy",),
    "LAO/LAE": ("Left atrial hypertrophy", "Left atrial overload"),
    "RAO/RAE": ("Right atrial",),
    "MI": ("Stemi",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One data set: measurements ``[records, names]`` with their statuses, patients, labels, cross-validation folds."""

    name: str
    names: tuple[tuple[str, str, str], ...]
    values: npt.NDArray[np.float64]
    statuses: npt.NDArray[np.uint8]
    patients: tuple[Patient, ...]
    labels: tuple[frozenset[str], ...]

    def facts(self) -> Iterator[Facts]:
        """Row by row, as the explainer sees them."""
        for values, statuses, patient in zip(self.values.tolist(), self.statuses.tolist(), self.patients, strict=True):
            yield Facts(
                {
                    (key, lead): Measurement(None if status else value, unit, STATUSES[status])
                    for (key, lead, unit), value, status in zip(self.names, values, statuses, strict=True)
                },
                patient,
            )


def code_digest() -> str:
    """Of all that decides what is measured."""
    digest = hashlib.sha256()
    folder = ROOT / "cardiomesh" / "ecg"
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.onnx"), *folder.rglob("*.npz")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def measured(
    name: str,
    count: int,
    recordings: Iterable[tuple[npt.NDArray[np.float64], float]],
    patients: Sequence[Patient],
    labels: Sequence[frozenset[str]],
) -> Measured:
    """Measure every recording, or read what was measured before."""
    path = CACHE / f"measurements-{name}-{count}-{code_digest()}.npz"
    if not path.is_file():
        rows = []
        pairs = zip(recordings, patients, strict=True)
        for (millivolts, rate), patient in tqdm(pairs, total=count, desc=f"measure {name}"):
            recording = Recording(STANDARD_LEADS, np.asarray(millivolts), rate, "signal", patient=patient)
            rows.append(measurements_of(recording))
        names = [(named.key, named.lead, named.value.unit) for named in rows[0]]
        values = [[math.nan if n.value.value is None else n.value.value for n in row] for row in rows]
        statuses = [[STATUSES.index(n.value.status) for n in row] for row in rows]
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, names=names, values=np.array(values), statuses=np.array(statuses, np.uint8))
    with np.load(path) as kept:
        return Measured(
            name,
            tuple((str(k), str(lead), str(unit)) for k, lead, unit in kept["names"]),
            kept["values"],
            kept["statuses"],
            tuple(patients),
            tuple(labels),
        )


def _patient(age: float | None, female: bool | None) -> Patient:
    years = None if age is None or math.isnan(age) else min(int(age), MAX_AGE_YEARS)
    return Patient(years, None if female is None else "female" if female else "male")


def ptbxl(folder: Path) -> Measured:
    """PTB-XL; sex is 0 for men there."""
    table, recordings = read_ptbxl(folder)
    patients = [_patient(age, sex == 1) for age, sex in zip(table["age"], table["sex"], strict=True)]
    labels = [frozenset(codes) for codes in table["codes"]]
    if "report" in table:
        said = table["report"].fillna("").str.lower().str.contains(_SAID_1AVB)
        labels = [
            codes | {ANY_1AVB} if told or codes & {"1AVB", "LPR"} else codes
            for codes, told in zip(labels, said, strict=True)
        ]
    return measured("ptbxl", len(table), recordings, patients, labels)


def ludb(folder: Path) -> Measured | None:
    """LUDB, where it lies beside PTB-XL."""
    root = folder / "ludb"
    if not (root / "ludb.csv").is_file():
        return None
    wfdb = import_wfdb()
    table = pd.read_csv(root / "ludb.csv", dtype=str).fillna("")
    rows = [row for _, row in table.iterrows() if (root / f"{row['ID']}.hea").is_file()]

    def recordings() -> Iterator[tuple[npt.NDArray[np.float64], float]]:
        for row in rows:
            record = wfdb.rdrecord(str(root / row["ID"]), physical=False)
            order = [normalise_lead(name) for name in record.sig_name]
            counts = np.asarray(record.d_signal, dtype=np.float64) - np.asarray(record.baseline, dtype=np.float64)
            yield counts.T[[order.index(lead) for lead in STANDARD_LEADS]] / 1000, float(record.fs)

    patients, labels = [], []
    for row in rows:
        age = row["Age"].strip().lstrip(">")
        patients.append(_patient(float(age) if age else None, row["Sex"].strip() == "F" if row["Sex"] else None))
        said = [line.strip() for column in table.columns[3:] for line in row[column].splitlines()]
        labels.append(frozenset(code for code, starts in LUDB.items() if any(line.startswith(starts) for line in said)))
    return measured("ludb", len(rows), recordings(), patients, labels)


def wilson(hits: int, count: int) -> str:
    """A share with its 95 % interval."""
    if not count:
        return "–"
    z, p = 1.96, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return f"{p:.3f} ({middle - half:.3f}-{middle + half:.3f})"


def table(data: Measured, only: Sequence[str]) -> None:
    """One row per rule and statement, as Markdown."""
    book = load_rules()
    outcomes = [evaluate(book, facts) for facts in tqdm(data.facts(), total=len(data.labels), desc="evaluate")]
    print(f"\n### {data.name}, {len(data.labels)} recordings, rules {book.digest[:12]}, measured by {code_digest()}\n")
    print("| rule | statement | n | sensitivity (95 %) | specificity (95 %) | not evaluable | met | near |")
    print("|---|---|---|---|---|---|---|---|")
    for column, rule in enumerate(book.rules):
        if (only and rule.id not in only) or not rule.reported:
            continue
        states = [row[column].state for row in outcomes]
        met, untold = states.count(State.MET), states.count(State.NOT_EVALUABLE)
        more = (ANY_1AVB,) if "LPR" in rule.statements else ()
        for code in (*rule.statements, *more) or ("",):
            labelled = [code in codes for codes in data.labels]
            n = sum(labelled)
            if not n:
                print(f"| {rule.id} | {code or '–'} | – | – | – | {untold} | {met} | |")
                continue
            pairs = list(zip(labelled, states, strict=True))
            hits = sum(label and state is State.MET for label, state in pairs)
            rejected = sum(not label and state is not State.MET for label, state in pairs)
            missed = sum(label and state is State.NOT_EVALUABLE for label, state in pairs)
            near = [0, 0]
            for label, outcome in zip(labelled, (row[column] for row in outcomes), strict=True):
                wrong = State.NOT_MET if label else State.MET
                near[label] += outcome.state is wrong and _near(outcome.criteria)
            print(
                f"| {rule.id} | {code} | {n} | {wilson(hits, n)} | {wilson(rejected, len(pairs) - n)} "
                f"| {untold} ({missed} labelled) | {met} | {'/'.join(map(str, near)) if any(near) else ''} |"
            )


def _near(trace: Trace) -> bool:
    """Whether one value decides, and lies within a tenth of its cut-off."""
    return trace.kind == "compare" and bool(trace.cutoff) and abs(trace.margin or 0.0) <= 0.1 * abs(trace.cutoff or 0.0)


def main() -> None:
    """Print a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--rule", action="append", default=[], help="only this rule; may be given often")
    arguments = parser.parse_args()
    if arguments.data is None:
        raise SystemExit("no data: give the folder that holds ptbxl/ with --data or CARDIOMESH_DATA")
    for data in (ptbxl(arguments.data), ludb(arguments.data)):
        if data is not None:
            table(data, arguments.rule)


if __name__ == "__main__":
    main()
