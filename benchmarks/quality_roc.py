"""How well the quality score tells corrupted recordings from clean ones, on real PTB-XL records.

    python benchmarks/quality_roc.py [--out docs/quality-roc.png]

Reads PTB-XL from CARDIOMESH_DATA (default ../shared/data). First the levels on folds 1–8, each fifth record: what they
would do if they were lower or higher, all together. Then fold 9, apart. "Clean" are records without any of the
annotators' notes on noise; corruptions are added to these very records, to the eight independent leads at a stated
ratio of signal power to noise power each (the other four follow by Einthoven's law). Noise is made here (seeded):
muscle = 20–150 Hz, coming and going; motion = 1–8 Hz; wander = 0.05–0.5 Hz; mains = 50 Hz with its third harmonic.
Also: one lead off, replaced by what an open input shows.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from cardiomesh.ecg import quality
from cardiomesh.ecg.leads import STANDARD_LEADS, derive_limb_leads
from cardiomesh.ecg.quality import REJECT_BELOW, Grade, Quality, grade

FloatArray = npt.NDArray[np.float64]
RATE: Final = 500.0
SNRS_DB: Final = (-6, 0, 6, 12, 20)
NOTES: Final = ("static_noise", "burst_noise", "baseline_drift", "electrodes_problems")


def load(folder: Path) -> tuple[npt.NDArray[np.int16], Any]:
    """PTB-XL as int16 µV [N, 12, 5000], and its table."""
    spec = importlib.util.spec_from_file_location("ptbxl_load", folder / "load.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"no PTB-XL in {folder}; set CARDIOMESH_DATA")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    signals, table = module.load_ptbxl()
    return signals, table


def _band(rng: np.random.Generator, shape: tuple[int, int], low: float, high: float) -> FloatArray:
    sos = signal.butter(2, (low, high), btype="bandpass", fs=RATE, output="sos")
    white = rng.standard_normal((shape[0], shape[1] + 4000))
    return np.asarray(signal.sosfilt(sos, white, axis=-1)[:, 4000:])


def muscle(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """20–150 Hz, its strength changing over seconds."""
    return _band(rng, shape, 20, 150) * (0.3 + np.abs(_band(rng, shape, 0.05, 0.5)) * 10)


def motion(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """1–8 Hz, as of electrodes that are pulled."""
    return _band(rng, shape, 1, 8)


def wander(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """0.05–0.5 Hz, as of breathing."""
    return _band(rng, shape, 0.05, 0.5)


def mains(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """50 Hz and its third harmonic, one phase per lead."""
    t = np.arange(shape[1]) / RATE
    phase = rng.uniform(0, 2 * np.pi, (shape[0], 1))
    return np.sin(2 * np.pi * 50 * t + phase) + 0.2 * np.sin(2 * np.pi * 150 * t + phase)


KINDS: Final[dict[str, Callable[[np.random.Generator, tuple[int, int]], FloatArray]]] = {
    "muscle": muscle, "motion": motion, "wander": wander, "mains": mains,
}  # fmt: skip


def corrupted(ecg: FloatArray, kind: str, snr_db: float, rng: np.random.Generator) -> FloatArray:
    """The ECG with noise of one kind in all eight independent leads, at this ratio of powers."""
    noise = KINDS[kind](rng, (ecg.shape[0], ecg.shape[1]))
    noise -= noise.mean(axis=1, keepdims=True)
    power = np.var(ecg, axis=1, keepdims=True)
    noise *= np.sqrt(power / np.var(noise, axis=1, keepdims=True) / 10 ** (snr_db / 10))
    for lead, values in derive_limb_leads({"I": noise[0], "II": noise[1]}).items():
        noise[STANDARD_LEADS.index(lead)] = values
    return ecg + noise


def lead_off(ecg: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One chest lead replaced by nothing, mains alone, drift, movement alone, or held from some moment on."""
    out, lead = ecg.copy(), int(rng.integers(6, 12))
    t = np.arange(ecg.shape[1]) / RATE
    what = int(rng.integers(5))
    if what == 0:
        out[lead] = 0.002 * rng.standard_normal(len(t))
    elif what == 1:
        out[lead] = 0.02 * np.sin(2 * np.pi * 50 * t) + 0.002 * rng.standard_normal(len(t))
    elif what == 2:
        out[lead] = 0.01 * t + 0.002 * rng.standard_normal(len(t))
    elif what == 3:
        out[lead] = 0.3 * motion(rng, (1, len(t)))[0]
    else:
        start = int(rng.integers(0, 3500))
        out[lead, start:] = out[lead, start]
    return out


def auc(clean: FloatArray, bad: FloatArray) -> float:
    """Chance that a clean recording scores higher than a corrupted one; ties count half."""
    return float((np.sign(clean[:, None] - bad[None, :]).mean() + 1) / 2)


def graded(x: FloatArray) -> Quality:
    """Grade twelve leads at 500 Hz."""
    return grade(x, RATE, STANDARD_LEADS)


def main() -> None:
    """Print the tables and, where asked, draw the curves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    root = Path(os.environ.get("CARDIOMESH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    signals, table = load(root)
    noted = table[list(NOTES)].notna().any(axis=1).to_numpy()
    fold = table["strat_fold"].to_numpy()
    tune([signals[k] * 1e-3 for k in np.flatnonzero((fold <= 8) & ~noted)[::5]])
    clean = [signals[k] * 1e-3 for k in np.flatnonzero((fold == 9) & ~noted)]
    base = [graded(x) for x in clean]
    scores = np.array([q.score for q in base])
    refused = sum(q.grade is Grade.REJECT for q in base)
    print(f"\nfold 9 without notes: {len(clean)} records, refused {refused} ({refused / len(clean):.2%})")
    every = [graded(s * 1e-3) for s in signals]
    for name, chosen in (("folds 1–8", fold <= 8), ("fold 9", fold == 9)):
        unfit = sum(every[k].grade is Grade.REJECT for k in np.flatnonzero(chosen))
        print(f"all {np.count_nonzero(chosen)} records of {name}: refused {unfit}")
    whole = np.array([q.score for q in every])
    print("\nannotators' notes against none (all folds)      n     AUC")
    for note in NOTES:
        has = table[note].notna().to_numpy()
        print(f"{note:<44}{has.sum():>5}   {auc(whole[~noted], whole[has]):.3f}")
    rng = np.random.default_rng(20)
    print("\nAUC by kind and SNR (dB)  " + "".join(f"{snr:>8}" for snr in SNRS_DB) + "   refused at 0 dB")
    curves, mixed = {}, {snr: [] for snr in SNRS_DB}  # type: dict[str, FloatArray], dict[int, list[float]]
    for kind in KINDS:
        row, at_zero = [], 0
        for snr in SNRS_DB:
            made = [graded(corrupted(x, kind, snr, rng)) for x in clean]
            bad = np.array([q.score for q in made])
            row.append(auc(scores, bad))
            mixed[snr].extend(bad)
            if snr == 0:
                curves[kind] = bad
                at_zero = sum(q.grade is Grade.REJECT for q in made)
        print(f"{kind:<26}" + "".join(f"{value:>8.3f}" for value in row) + f"{at_zero / len(clean):>12.1%}")
    print(f"{'all kinds together':<26}" + "".join(f"{auc(scores, np.array(mixed[s])):>8.3f}" for s in SNRS_DB))
    off = [graded(lead_off(x, rng)) for x in clean]
    passed = sum(q.grade is not Grade.REJECT for q in off)
    loose = np.array([q.score for q in off])
    print(f"\none chest lead off: {passed} of {len(off)} accepted, AUC {auc(scores, loose):.3f}")
    if out is not None:
        draw(out, scores, {**curves, "lead off": loose})


def tune(clean: list[FloatArray]) -> None:
    """What other levels would do: all ten features' levels times one factor."""
    rng = np.random.default_rng(8)
    noisy = [corrupted(x, kind, 0, rng) for x in clean for kind in KINDS]
    off = [lead_off(x, rng) for x in clean]
    print(f"folds 1–8, {len(clean)} clean records, four kinds of noise at 0 dB each, one chest lead off each")
    print(f"{'levels times':>14}{'clean refused':>16}{'AUC at 0 dB':>14}{'lead off accepted':>20}")
    for factor in (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0):
        with scaled_levels(factor):
            base, bad, loose = ([graded(x) for x in group] for group in (clean, noisy, off))
        false = sum(q.grade is Grade.REJECT for q in base) / len(base)
        found = auc(np.array([q.score for q in base]), np.array([q.score for q in bad]))
        passed = sum(q.grade is not Grade.REJECT for q in loose) / len(loose)
        print(f"{factor:>14}{false:>16.2%}{found:>14.3f}{passed:>20.2%}")


@contextmanager
def scaled_levels(factor: float) -> Iterator[None]:
    """The grading with all its levels times a factor; a share stays below 1."""
    kept = list(quality._LEVELS)
    shares = [k for k, key in enumerate(quality._FEATURES) if key == "unrelated"]
    quality._LEVELS[:] = [x if k in shares else x * factor for k, x in enumerate(kept)]
    try:
        yield
    finally:
        quality._LEVELS[:] = kept


def draw(out: Path, clean: FloatArray, curves: dict[str, FloatArray]) -> None:
    """ROC curves at 0 dB."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 5), layout="constrained")
    levels = np.linspace(0, 1.0001, 1001)
    for name, bad in curves.items():
        found = [(bad < level).mean() for level in levels]
        false = [(clean < level).mean() for level in levels]
        axes.plot(false, found, label=f"{name} ({auc(clean, bad):.3f})")
    axes.set(xlabel="clean recordings below the threshold", ylabel="corrupted recordings below the threshold")
    axes.set_title(f"Quality score at 0 dB, PTB-XL fold 9 (refused below {REJECT_BELOW:g})")
    axes.legend(title="AUC", loc="lower right")
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
