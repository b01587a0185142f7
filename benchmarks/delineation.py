"""How well waves are found and measured, against the cardiologists' marks of LUDB ids 1-100. Prints; writes nothing.

``python benchmarks/delineation.py [--data DIR]`` scores the delineator with cross-validated weights: each record by
the network that was trained without it (``export/delineator/folds``). ``--shipped`` scores the weights that ship,
which have seen all these records; ``--candidate neurokit2|ecgdeli`` another package, where it is installed.

All leads pooled. A wave is found when its peak lies within 150 ms of a marked one; what is found outside a lead's
annotated range does not count. Errors are found minus marked.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402  after the thread limits
import numpy.typing as npt  # noqa: E402
import wfdb  # noqa: E402

from cardiomesh.ecg.delineation import Delineation, WaveMarks, delineate  # noqa: E402
from cardiomesh.ecg.delineation.fuse import fused  # noqa: E402
from cardiomesh.ecg.delineation.network import Segmenter, shipped  # noqa: E402
from cardiomesh.ecg.leads import STANDARD_LEADS  # noqa: E402
from cardiomesh.ecg.measurements import Measurement, Status, measure  # noqa: E402
from cardiomesh.ecg.recording import Recording  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
FOLDS = ROOT / "export" / "delineator" / "folds"
WAVES = ("P", "QRS", "T")
SYMBOLS = {"p": "P", "N": "QRS", "t": "T"}
TOLERANCE = 0.15
#: Two standard deviations of the CSE working party's referees, ms.
CSE = {
    ("P", "onset"): 10.2,
    ("P", "offset"): 12.7,
    ("QRS", "onset"): 6.5,
    ("QRS", "offset"): 11.6,
    ("T", "offset"): 30.6,
}

FloatArray = npt.NDArray[np.float64]
#: Onset, peak and offset of each wave ``[k, 3]`` in samples, by lead and kind of wave.
Marks = dict[tuple[int, str], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One LUDB record: signals, marks, and the annotated range of each lead in samples."""

    number: int
    rate: float
    millivolts: FloatArray
    marks: Marks
    range: dict[int, tuple[float, float]]


def load(folder: Path, numbers: range) -> Iterator[Truth]:
    """LUDB records with their marks; NaN for an onset or offset that is not marked."""
    for number in numbers:
        record = wfdb.rdrecord(str(folder / str(number)))
        marks: Marks = {}
        reach = {}
        for lead, name in enumerate(STANDARD_LEADS):
            with warnings.catch_warnings():  # wfdb 4.3 uses what pandas 3.1 deprecates
                warnings.simplefilter("ignore")
                found = wfdb.rdann(str(folder / str(number)), name.lower())
            symbols, at = found.symbol, np.asarray(found.sample, dtype=np.float64)
            rows: dict[str, list[tuple[float, float, float]]] = {wave: [] for wave in WAVES}
            for k, symbol in enumerate(symbols):
                if symbol in SYMBOLS:
                    start = at[k - 1] if k and symbols[k - 1] == "(" else np.nan
                    end = at[k + 1] if k + 1 < len(at) and symbols[k + 1] == ")" else np.nan
                    rows[SYMBOLS[symbol]].append((start, at[k], end))
            marks.update({(lead, wave): np.array(rows[wave]).reshape(-1, 3) for wave in WAVES})
            if len(at):
                reach[lead] = (float(at[0]), float(at[-1]))
        signals = np.ascontiguousarray(record.p_signal.T, dtype=np.float64)
        yield Truth(number, float(record.fs), signals, marks, reach)


def marks_of(d: Delineation) -> Marks:
    """A delineation in the form of the truth; blocked P waves are P waves."""

    def rows(lead: int, *waves: WaveMarks) -> FloatArray:
        table = np.concatenate([np.stack([w.onset[lead], w.peak[lead], w.offset[lead]], axis=1) for w in waves])
        return np.asarray(table[np.isfinite(table[:, 0])])

    kinds = {"P": (d.p, d.blocked_p), "QRS": (d.qrs,), "T": (d.t,)}
    return {(lead, wave): rows(lead, *kinds[wave]) for lead in range(len(d.usable)) for wave in WAVES}


@dataclass(slots=True)
class Score:
    """Counts and errors (ms) of one kind of wave."""

    found: int = 0
    missed: int = 0
    extra: int = 0
    errors: dict[str, list[float]] = field(default_factory=lambda: {"onset": [], "peak": [], "offset": []})

    @property
    def sensitivity(self) -> float:
        """Share of marked waves that were found."""
        return self.found / max(self.found + self.missed, 1)

    @property
    def precision(self) -> float:
        """Share of found waves that are marked (PPV)."""
        return self.found / max(self.found + self.extra, 1)

    def add(self, truth: FloatArray, found: FloatArray, reach: tuple[float, float], rate: float) -> None:
        """One kind of wave of one lead: each marked wave takes the nearest found one that is still free."""
        free = np.ones(len(found), dtype=bool)
        for wave in truth:
            distance = np.where(free, np.abs(found[:, 1] - wave[1]), np.inf) if len(found) else np.zeros(0)
            best = int(distance.argmin()) if len(distance) else -1
            if best < 0 or distance[best] > TOLERANCE * rate:
                self.missed += 1
                continue
            free[best] = False
            self.found += 1
            for name, error in zip(self.errors, (found[best] - wave) * 1000 / rate, strict=True):
                if np.isfinite(error):
                    self.errors[name].append(float(error))
        inside = (found[:, 1] >= reach[0]) & (found[:, 1] <= reach[1]) if len(found) else np.zeros(0, dtype=bool)
        self.extra += int(np.count_nonzero(free & inside))


def add_record(scores: dict[str, Score], truth: Truth, found: Marks) -> None:
    """Pool one record's leads into the scores."""
    for (lead, wave), marked in truth.marks.items():
        if lead in truth.range:
            scores[wave].add(marked, found[lead, wave], truth.range[lead], truth.rate)


def referee_beats(truth: Truth) -> dict[str, FloatArray]:
    """The referees' marks by beat: P onset, QRS onset, QRS offset, T offset, each ``[12, beats]``, and QRS peaks."""
    peaks = np.sort(np.concatenate([truth.marks[lead, "QRS"][:, 1] for lead in range(12)]))
    groups = np.split(peaks, np.flatnonzero(np.diff(peaks) > TOLERANCE * truth.rate) + 1)
    beats = np.array([np.median(g) for g in groups if len(g) >= 4])
    table = {name: np.full((12, len(beats)), np.nan) for name in ("p", "on", "off", "t")}
    for lead in range(12):
        for wave, names, low, high in (
            ("P", ("p", ""), -0.5, 0.0),
            ("QRS", ("on", "off"), -0.15, 0.15),
            ("T", ("", "t"), 0.0, 0.7),
        ):
            for onset, peak, offset in truth.marks[lead, wave]:
                delay = (peak - beats) / truth.rate
                near = np.flatnonzero((delay >= low) & (delay <= high))
                if len(near):
                    beat = near[np.abs(delay[near]).argmin()]
                    for name, value in zip(names, (onset, offset), strict=True):
                        if name:
                            table[name][lead, beat] = value
    return {**table, "beats": beats}


def referee_intervals(truth: Truth) -> dict[str, tuple[float, float]]:
    """PR, QRS, QT in ms: (fused over leads by the delineator's rule, median lead), each the median over beats."""
    t = referee_beats(truth)
    pairs = {"PR": ("p", "on"), "QRS": ("on", "off"), "QT": ("on", "t")}
    p, qrs, t_end = (fused(t[a], t[b], 6) for a, b in (("p", "p"), ("on", "off"), ("t", "t")))
    whole = {"PR": qrs.onset - p.onset, "QRS": qrs.offset - qrs.onset, "QT": t_end.offset - qrs.onset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a record without P waves has no median
        return {
            name: (
                float(np.nanmedian(whole[name])) * 1000 / truth.rate,
                float(np.nanmedian(t[end] - t[start])) * 1000 / truth.rate,
            )
            for name, (start, end) in pairs.items()
        }


def _line(name: str, values: list[float]) -> str:
    e = np.array(values)
    return f"| {name} | {len(e)} | {e.mean():+.1f} | {np.abs(e).mean():.1f} | {np.median(np.abs(e)):.1f} |"


def report_waves(scores: dict[str, Score]) -> None:
    """Sensitivity, PPV and the errors of each mark."""
    print("| wave | Se % | PPV % | onset ms | peak ms | offset ms |\n|---|---|---|---|---|---|")
    for wave, score in scores.items():
        cells = []
        for name, errors in score.errors.items():
            limit = CSE.get((wave, name))
            sd = float(np.std(errors))
            verdict = "" if limit is None else f" (limit {limit}: {'met' if sd <= limit else f'{sd - limit:.1f} over'})"
            cells.append(f"{np.mean(errors):+.1f} ± {sd:.1f}{verdict}")
        print(f"| {wave} | {100 * score.sensitivity:.2f} | {100 * score.precision:.2f} | {' | '.join(cells)} |")


@dataclass(slots=True)
class RecordErrors:
    """What is compared once per record."""

    intervals: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    heart_rate: list[float] = field(default_factory=list)
    p_confusion: dict[tuple[bool, bool], int] = field(default_factory=dict)

    def add(self, truth: Truth, d: Delineation) -> None:
        """Intervals, heart rate over the annotated beats, presence of P waves."""
        m = measure(Recording(STANDARD_LEADS, truth.millivolts, truth.rate, "wfdb"), d)
        own: dict[str, tuple[Measurement, Measurement]] = {
            "PR": (m.intervals.pr, m.intervals.lead_median_pr),
            "QRS": (m.intervals.qrs, m.intervals.lead_median_qrs),
            "QT": (m.intervals.qt, m.intervals.lead_median_qt),
        }
        for name, (whole, lead) in referee_intervals(truth).items():
            for kind, value, reference in (
                ("global, same rule for the marks", own[name][0].value, whole),
                ("global against the median lead", own[name][0].value, lead),
                ("median lead", own[name][1].value, lead),
            ):
                if value is not None and np.isfinite(reference):
                    self.intervals.setdefault((name, kind), []).append(value - reference)
        beats = referee_beats(truth)["beats"]
        inside = d.beats[(d.beats >= beats[0] - 50) & (d.beats <= beats[-1] + 50)]
        if len(beats) > 1:
            rate = 60 * truth.rate / np.diff(inside).mean() if len(inside) > 1 else np.inf
            self.heart_rate.append(float(rate - 60 * truth.rate / np.diff(beats).mean()))
        marked = sum(len(truth.marks[lead, "P"]) for lead in range(12)) > 0
        key = (marked, m.rhythm.p_waves.status is Status.MEASURED)
        self.p_confusion[key] = self.p_confusion.get(key, 0) + 1

    def report(self) -> None:
        """The tables."""
        print("\n| interval | records | mean error ms | mean absolute ms | median absolute ms |\n|---|---|---|---|---|")
        for (name, kind), errors in self.intervals.items():
            print(_line(f"{name}, {kind}", errors))
        rate = np.abs(self.heart_rate)
        print(f"\nheart rate within 1/min: {100 * np.mean(rate <= 1):.1f} % of {len(rate)} records")
        both, lost, invented, neither = (
            self.p_confusion.get(key, 0) for key in ((True, True), (True, False), (False, True), (False, False))
        )
        print(f"P waves measured in {both} of {both + lost} records that have marked ones")
        print(f"P waves reported absent in {neither} of {neither + invented} records that have none")


def cpu(work: Callable[[], object], runs: int = 100) -> str:
    """Median and 90th percentile of the CPU time of one run."""
    work()
    times = []
    for _ in range(runs):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return f"{np.median(times):.1f} ms (90th percentile {np.percentile(times, 90):.1f}, least {min(times):.1f})"


def candidate(name: str, truth: Truth) -> Marks:
    """What another package finds, lead by lead, at its documented defaults."""
    found: Marks = {(lead, wave): np.zeros((0, 3)) for lead in range(12) for wave in WAVES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "ecgdeli":
            import ecgdeli  # type: ignore[import-not-found]

            filtered = ecgdeli.filter_ecg(truth.millivolts.T, truth.rate)
            tables = ecgdeli.annotate(filtered, truth.rate, waves="PQRST")
            for lead, table in enumerate(tables.leads):
                samples = np.asarray(table.samples, dtype=np.float64)
                for wave, columns in (("P", (0, 1, 2)), ("QRS", (3, 5, 7)), ("T", (9, 10, 11))):
                    marks = samples[:, columns]
                    found[lead, wave] = marks[np.isfinite(marks[:, 1])]
            return found
        import neurokit2  # type: ignore[import-not-found]

        for lead in range(12):
            clean = neurokit2.ecg_clean(truth.millivolts[lead], sampling_rate=truth.rate)
            beats = neurokit2.ecg_peaks(clean, sampling_rate=truth.rate)[1]["ECG_R_Peaks"]
            marks = neurokit2.ecg_delineate(clean, beats, sampling_rate=truth.rate, method="dwt")[1]
            for wave, key in (("P", "P"), ("QRS", "R"), ("T", "T")):
                peaks = beats if wave == "QRS" else marks[f"ECG_{key}_Peaks"]
                table = np.array([marks[f"ECG_{key}_Onsets"], peaks, marks[f"ECG_{key}_Offsets"]], dtype=np.float64).T
                found[lead, wave] = table[np.isfinite(table[:, 1])]
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--shipped", action="store_true", help="the weights that ship: trained on these records")
    parser.add_argument("--candidate", choices=("neurokit2", "ecgdeli"))
    parser.add_argument("--records", type=int, default=100, help="only the first so many")
    arguments = parser.parse_args()
    scores = {wave: Score() for wave in WAVES}
    per_record = RecordErrors()
    folds: list[Segmenter] = []
    if not (arguments.candidate or arguments.shipped):
        folds = [Segmenter(path.read_bytes()) for path in sorted(FOLDS.glob("fold*.onnx"))]
    failed, began, last = 0, time.process_time(), None
    for truth in load(Path(arguments.data) / "ludb", range(1, arguments.records + 1)):
        if arguments.candidate:
            try:
                add_record(scores, truth, candidate(arguments.candidate, truth))
            except (ValueError, IndexError, KeyError, ZeroDivisionError, TypeError) as error:
                failed += 1
                print(f"record {truth.number}: {arguments.candidate} fails with {type(error).__name__}: {error}")
            continue
        segmenter = folds[(truth.number - 1) % len(folds)] if folds else shipped()
        d = delineate(truth.millivolts, truth.rate, segmenter=segmenter)
        add_record(scores, truth, marks_of(d))
        per_record.add(truth, d)
        last = truth
    report_waves(scores)
    if last is None:
        spent = 1000 * (time.process_time() - began) / arguments.records
        print(f"\n{failed} records failed; CPU of one record with reading it: {spent:.0f} ms")
        return
    per_record.report()
    recording = Recording(STANDARD_LEADS, last.millivolts, last.rate, "wfdb")
    d = delineate(last.millivolts, last.rate)
    print(f"CPU of one 10 s record, 12 leads, 500 Hz: delineate {cpu(lambda: delineate(last.millivolts, last.rate))}")
    print(f"measure {cpu(lambda: measure(recording, d))}")
    print(f"both {cpu(lambda: measure(recording, delineate(last.millivolts, last.rate)))}")


if __name__ == "__main__":
    main()
