"""How fit each lead, and the whole recording, is for interpretation.

Features are computed for all leads at once on blocks of a tenth of a second and compared with three levels each:
from the first on a lead is no longer clean (A), from the second poor (C), from the third unfit. How the levels were
set, and what they do on records that took no part, is printed by ``benchmarks/quality_roc.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, LIMB_LEADS, derive_limb_leads

__all__ = ["FLAT_AMPLITUDE", "REJECT_BELOW", "Grade", "LeadQuality", "Quality", "Reason", "grade"]

FloatArray = npt.NDArray[np.floating]


class Grade(StrEnum):
    """Clean, usable with a remark, poor, unfit."""

    A = "A"
    B = "B"
    C = "C"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a lead is not better: a stable code, and words with the measured value."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LeadQuality:
    """Fitness of one lead: ``score`` from 0 (useless) to 1 (clean), ``amplitude`` of its beats in mV peak to peak."""

    lead: str
    grade: Grade
    score: float
    reasons: tuple[Reason, ...]
    amplitude: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Fitness of a recording and of each of its leads."""

    grade: Grade
    score: float
    leads: tuple[LeadQuality, ...]
    reasons: tuple[Reason, ...] = ()


#: Scores from which a lead or recording is A, B, C; below the last it is unfit.
_GRADE_SCORES: Final = ((0.9, Grade.A), (0.8, Grade.B), (0.7, Grade.C))
REJECT_BELOW: Final = 0.7
_SCORES: Final = np.array((1.0, 0.9, 0.8, 0.7, 0.0))

_BLOCK_SECONDS: Final = 0.1
#: A block that moves less than this (mV) holds no signal: five microvolts is one count of many carts.
_FLAT_BLOCK: Final = 0.006
#: When this many leads are still at once it is a pause of the heart, not a loose electrode.
_PAUSE_LEADS: Final = 10
#: A limit reached closer to the baseline than this (mV) is low amplitude, not clipping.
_LEAST_RAIL: Final = 0.3
#: Resamplers hold the last value at both ends (PTB-XL does, for 0.1 s): not clipping.
_EDGE_SECONDS: Final = 0.15
#: A lead whose beats are lower than this (mV, peak to peak) shows no heart.
FLAT_AMPLITUDE: Final = 0.05
#: A recorded limb lead differs from the one computed from I and II by rounding only (mV, mean).
_EINTHOVEN_ERROR: Final = 0.01
#: So few samples at an extreme cannot be clipping; as near to it as this (mV) is at it.
_FEW: Final = 3
_TOUCH: Final = 1e-6
#: Larger steps than this (mV) mean a wrong scale: IEC 60601-2-25 asks recorders for 5 µV, old ones had 10.
_COARSE_STEP: Final = 0.0125
_COARSE_SCORE: Final = 0.75
#: The middle lead's beats are lower than this (mV) in all of 2,664 PTB-XL records but one, which is noted as noisy
#: throughout: higher ones mean a wrong scale.
_HIGH: Final = 6.0
_STEP_SAMPLES: Final = 1000
_COHERENCE_HZ: Final = 50.0
_COHERENCE_BOX: Final = 20  # at that rate: slower than 0.4 s is left to the baseline's features
_LEAST_INDEPENDENT: Final = 7  # all eight, or all but one
_RECORDER_NOISE: Final = 1e-6  # mV²: one microvolt; keeps the inverse finite for leads that are copies
_INCOHERENT_LEVELS: Final = (0.1, 0.2, 0.5, 0.9)
_SQRT6: Final = 6.0**0.5


@dataclass(frozen=True, slots=True)
class _Feature:
    """Levels of one feature for the scores 0.9, 0.8, 0.7 and 0, and how to say it."""

    code: str
    levels: tuple[float, float, float, float]
    message: str
    #: A lead with this fault is not connected or not recorded: no other lead makes up for it.
    fatal: bool = False


_FEATURES: Final[Mapping[str, _Feature]] = {
    "flat": _Feature(
        "LOW_AMPLITUDE", (1 / 0.2, 1 / 0.1, 1 / FLAT_AMPLITUDE, 1 / 0.02), "beats of {:.3f} mV only", fatal=True
    ),
    "gap": _Feature("CONTACT_LOSS", (1.0, 1.5, 2.0, 4.0), "no signal for {:.1f} s at a stretch", fatal=True),
    "rail": _Feature("SATURATED", (0.002, 0.004, 0.01, 0.03), "{:.1%} of the samples stand at a limit", fatal=True),
    "wander": _Feature("BASELINE_WANDER", (0.5, 1.5, 6.0, 20.0), "the baseline moves by {:.2f} mV"),
    "step": _Feature("BASELINE_JUMP", (0.6, 1.5, 6.0, 15.0), "the baseline jumps by {:.2f} mV"),
    "mains": _Feature("MAINS", (0.02, 0.1, 0.5, 1.5), "{:.3f} mV of mains interference"),
    "noise": _Feature("NOISE", (0.01, 0.03, 0.09, 0.3), "{:.3f} mV of muscle or electrode noise between the beats"),
    "burst": _Feature("NOISE_BURST", (0.03, 0.06, 0.15, 0.5), "{:.3f} mV of noise for a third of the time"),
    "unrelated": _Feature(
        "UNRELATED", (0.4, 0.7, 0.85, 1.0), "{:.0%} of it cannot be told from the other leads", fatal=True
    ),
    "spike": _Feature("SPIKES", (1.5, 3.0, 8.0, 20.0), "spikes of {:.1f} mV"),
}
#: The same as arrays, for every call: the levels each feature is compared with, and which features are fatal.
_KEYS: Final = tuple(_FEATURES)
_LEVELS: Final = [np.array((0.0, *feature.levels)) for feature in _FEATURES.values()]
_FATAL: Final = np.array([feature.fatal for feature in _FEATURES.values()])


@lru_cache(maxsize=32)
def _mains_waves(rate: int) -> FloatArray:
    """Cosines and sines of 50 and 60 Hz over two seconds, ``[2 · rate, 4]``, scaled to give amplitudes."""
    t = np.arange(2 * rate) / rate
    waves = [f(2 * np.pi * hz * t) for hz in (50.0, 60.0) for f in (np.cos, np.sin)]
    return np.asarray(np.stack(waves, axis=1) / rate, dtype=np.float32)


def _features(x: FloatArray, rate: float, leads: Sequence[str]) -> dict[str, FloatArray]:
    """Each feature for each lead of ``x`` ``[leads, n]``, float32 mV about its mean, n at least two seconds."""
    size = max(2, round(_BLOCK_SECONDS * rate))
    count = x.shape[1] // size
    blocks = x[:, : count * size].reshape(len(x), count, size)
    high, low, mean = blocks.max(axis=2), blocks.min(axis=2), blocks @ np.full(size, 1 / size, dtype=np.float32)
    per_second = max(1, round(rate / size))
    height = _amplitude(high, low, per_second)
    return {
        **height,
        "gap": _longest_gap(high - low) * size / rate,
        "rail": _rail(x, blocks, high, low, mean, rate),
        **_baseline(mean, per_second),
        "mains": _mains(x, rate),
        **_noise(x, rate, size),
        "unrelated": _unrelated(x, rate, leads, height["amplitude"]),
    }


def _amplitude(high: FloatArray, low: FloatArray, per_second: int) -> dict[str, FloatArray]:
    """Beat height per lead: the 70th percentile over seconds, since at 40/min a third of them holds no beat."""
    seconds = high.shape[1] // per_second
    shape = (len(high), seconds, per_second)
    used = seconds * per_second
    height = high[:, :used].reshape(shape).max(axis=2) - low[:, :used].reshape(shape).min(axis=2)
    amplitude = np.sort(height, axis=1)[:, int(0.7 * (seconds - 1))]
    return {"amplitude": amplitude, "flat": 1.0 / np.maximum(amplitude, 1e-6)}


def _longest_gap(moves: FloatArray) -> FloatArray:
    """Longest run of blocks without signal per lead, in blocks; a pause of the heart is none."""
    still = moves <= _FLAT_BLOCK
    # A pause still shows the amplifier's noise; a digital fill in every lead does not.
    filled = (moves <= 1e-9).all(axis=0)
    still &= (still.sum(axis=0) < min(_PAUSE_LEADS, len(moves))) | filled
    index = np.arange(1, moves.shape[1] + 1)
    last_signal = np.maximum.accumulate(np.where(still, 0, index), axis=1)
    return np.asarray((index - last_signal).max(axis=1), dtype=np.float64)


def _rail(
    x: FloatArray, blocks: FloatArray, high: FloatArray, low: FloatArray, mean: FloatArray, rate: float
) -> FloatArray:
    """Share of samples that stay at the lead's highest or lowest value; once is chance, from two stays on it counts."""
    middle = _median(mean)
    edge = round(_EDGE_SECONDS * rate)
    share = np.zeros(len(x))
    for extreme, sign in ((high, 1.0), (low, -1.0)):
        limit = (sign * extreme).max(axis=1)
        far = limit - sign * middle > _LEAST_RAIL
        # Only blocks that reach the limit hold samples that stand at it: nearly always one per lead.
        lead, block = np.nonzero((sign * extreme >= limit[:, None] - _TOUCH) & far[:, None])
        touching = (sign * blocks[lead, block] >= limit[lead, None] - _TOUCH).sum(axis=1)
        for k in np.flatnonzero(np.bincount(lead, touching, minlength=len(x)) > _FEW):
            inner = sign * x[k, edge:-edge] >= limit[k] - _TOUCH
            if np.count_nonzero(inner) > _FEW:
                share[k] += _stays(inner)
    return np.asarray(share / x.shape[1])


def _median(values: FloatArray) -> FloatArray:
    """Median over the last axis, in a fifth of the time of ``np.median``."""
    ordered, half = np.sort(values, axis=-1), values.shape[-1] // 2
    return np.asarray((ordered[..., half] + ordered[..., -half - 1]) / 2)


def _stays(at: npt.NDArray[np.bool_]) -> int:
    """How often a value is held to the next sample; 0 unless it is in two stretches at least."""
    places = np.flatnonzero(at)
    held = places[:-1][np.diff(places) == 1]
    return len(held) if np.count_nonzero(np.diff(held) > 1) else 0


def _baseline(mean: FloatArray, per_second: int) -> dict[str, FloatArray]:
    """Travel of the one-second mean, and its largest change between neighbouring half seconds."""
    sums = np.cumsum(mean, axis=1)
    half = max(1, per_second // 2)
    second = (sums[:, per_second:] - sums[:, :-per_second]) / per_second
    halves = (sums[:, half:] - sums[:, :-half]) / half
    return {
        "wander": np.ptp(second, axis=1),
        "step": np.abs(halves[:, half:] - halves[:, :-half]).max(axis=1),
    }


def _mains(x: FloatArray, rate: float) -> FloatArray:
    """Amplitude of 50 or 60 Hz, whichever is larger: median over stretches of two seconds."""
    waves = _mains_waves(round(rate))
    if rate < 125:
        return np.zeros(len(x))
    stretches = x.shape[1] // len(waves)
    projected = x[:, : stretches * len(waves)].reshape(len(x), stretches, len(waves)) @ waves
    amplitude = np.hypot(projected[..., 0::2], projected[..., 1::2])
    return np.asarray(_median(amplitude.transpose(0, 2, 1)).max(axis=1))


def _noise(x: FloatArray, rate: float, size: int) -> dict[str, FloatArray]:
    """Fast activity per block, from second differences over 4 ms (nothing below 10 Hz, full at 125 Hz).

    The 30th percentile over blocks is the floor between the beats, the 65th tells noise that comes and goes.
    """
    lag = max(1, round(rate / 250))
    second = x[:, 2 * lag :] - 2 * x[:, lag:-lag]
    second += x[:, : -2 * lag]
    count = second.shape[1] // size
    blocks = second[:, : count * size].reshape(len(x), count, size)
    energy = np.sqrt(np.einsum("lbs,lbs->lb", blocks, blocks) / size) / _SQRT6
    ordered = np.sort(energy, axis=1)
    spike = np.maximum(second.max(axis=1), -second.min(axis=1)) / 2
    return {"noise": ordered[:, int(0.3 * count)], "burst": ordered[:, int(0.65 * count)], "spike": spike}


def _unrelated(x: FloatArray, rate: float, leads: Sequence[str], amplitude: FloatArray) -> FloatArray:
    """Share of each independent lead's power (about 2–25 Hz) that no mixture of the others explains.

    All leads look at one heart, so that each follows from the others but for a few per cent; what an electrode adds
    when it moves follows from none. The inverse of the covariance gives all regressions at once. Leads that
    depend on I and II get 0.
    """
    share = np.zeros(len(x))
    rows = [k for k, lead in enumerate(leads) if lead in INDEPENDENT_LEADS]
    step = round(rate / _COHERENCE_HZ)
    count = x.shape[1] // max(1, step)
    if len(rows) < _LEAST_INDEPENDENT or step < 1 or count < 4 * _COHERENCE_BOX:
        return share
    slow = (x[:, : count * step].reshape(len(x), count, step) @ np.full(step, 1 / step, dtype=np.float32))[rows]
    slow = slow.astype(np.float64)
    sums = np.cumsum(slow, axis=1)
    half = _COHERENCE_BOX // 2
    y = slow[:, half : count - half] - (sums[:, _COHERENCE_BOX:] - sums[:, :-_COHERENCE_BOX]) / _COHERENCE_BOX
    # One artefact far above the beats must not decide for the other nine seconds.
    limit = amplitude[rows, None]
    y = y.clip(-limit, limit)
    covariance = y @ y.T / y.shape[1]
    np.fill_diagonal(covariance, covariance.diagonal() + _RECORDER_NOISE)
    share[rows] = 1.0 / (np.linalg.inv(covariance).diagonal() * covariance.diagonal())
    share[amplitude < FLAT_AMPLITUDE] = 0.0  # a flat lead has its own name
    return share


def _grade_of(score: float, reject_below: float) -> Grade:
    if score < reject_below:
        return Grade.REJECT
    return next((name for least, name in _GRADE_SCORES if score >= least), Grade.C)


def grade(
    millivolts: FloatArray, sampling_rate: float, leads: Sequence[str], reject_below: float = REJECT_BELOW
) -> Quality:
    """Grade ``[len(leads), n]`` mV, finite and at least two seconds long.

    A lead's score is that of its worst feature. The recording's is half its worst lead and half the mean of all,
    so that one noisy lead of twelve is a remark; but one lead that is not connected makes it unfit.
    """
    # Half the memory to pass through, ten times; about the mean, so that a large offset costs no precision.
    x = np.empty(millivolts.shape, dtype=np.float32)
    np.subtract(millivolts, millivolts.mean(axis=1, keepdims=True), out=x, casting="same_kind")
    measured = _features(x, sampling_rate, leads)
    table = np.array([np.interp(measured[key], levels, _SCORES) for key, levels in zip(_KEYS, _LEVELS, strict=True)])
    _forgive_perpendicular(table, measured["amplitude"], millivolts, leads)
    scores = table.min(axis=0)
    connected = float(table[_FATAL].min())
    overall = min(0.5 * float(scores.min()) + 0.5 * float(scores.mean()), connected)
    faults: list[list[Reason]] = [[] for _ in leads]
    order = np.argsort(table, axis=0, kind="stable")
    for rank, column in zip(*np.nonzero(np.sort(table, axis=0) < _GRADE_SCORES[0][0]), strict=True):
        faults[column].append(_reason(_KEYS[order[rank, column]], measured, column))
    graded = tuple(
        LeadQuality(lead, _grade_of(score, REJECT_BELOW), round(score, 4), tuple(reasons), round(height, 4))
        for lead, score, reasons, height in zip(
            leads, scores.tolist(), faults, measured["amplitude"].tolist(), strict=True
        )
    )
    scale = (*_coarse(millivolts[int(np.argmax(measured["amplitude"]))]), *_high(measured["amplitude"]))
    limit, incoherent = _incoherent(measured["unrelated"], leads)
    overall = min(overall, limit, _COARSE_SCORE if scale else 1.0)
    # No setting of the threshold lets a recording pass whose electrode hangs loose.
    whole = Grade.REJECT if connected < REJECT_BELOW else _grade_of(overall, reject_below)
    return Quality(whole, round(overall, 4), graded, (*scale, *incoherent))


def _incoherent(unrelated: FloatArray, leads: Sequence[str]) -> tuple[float, tuple[Reason, ...]]:
    """Score and remark for the mean share of the independent leads that is unrelated between them."""
    mean = float(unrelated.sum()) / sum(lead in INDEPENDENT_LEADS for lead in leads) if unrelated.any() else 0.0
    score = float(np.interp(mean, (0.0, *_INCOHERENT_LEVELS), _SCORES))
    if score >= _GRADE_SCORES[0][0]:
        return score, ()
    return score, (Reason("INCOHERENT", f"{mean:.0%} of the signal is unrelated between the leads: electrodes move"),)


def _coarse(lead: FloatArray) -> tuple[Reason, ...]:
    """Whether a lively lead comes in steps larger than recorders have: then its scale is wrong, and so are amplitudes.

    IEC 60601-2-25 asks for 5 µV or finer. The step is the smallest difference between any two of its values.
    """
    steps = np.diff(np.sort(lead[:_STEP_SAMPLES]))
    steps = steps[steps > 1e-6]
    if not len(steps) or float(steps.min()) <= _COARSE_STEP:
        return ()
    step = float(steps.min())
    return (Reason("COARSE_RESOLUTION", f"steps of {step * 1e3:.1f} µV, coarser than recorders have: check the scale"),)


def _high(amplitude: FloatArray) -> tuple[Reason, ...]:
    """Whether the beats are higher than those of hearts; the service refuses what is higher still."""
    middle = float(np.sort(amplitude)[len(amplitude) // 2])
    if middle <= _HIGH:
        return ()
    return (Reason("HIGH_AMPLITUDE", f"beats of {middle:.1f} mV in the middle lead: check the scale"),)


def _forgive_perpendicular(
    table: FloatArray, amplitude: FloatArray, millivolts: FloatArray, leads: Sequence[str]
) -> None:
    """A limb lead at right angles to the heart's axis is flat by nature: where I and II say so too, it is no fault."""
    rows = {lead: k for k, lead in enumerate(leads)}
    flat = [lead for lead in LIMB_LEADS[2:] if lead in rows and amplitude[rows[lead]] < FLAT_AMPLITUDE]
    if not flat or not {"I", "II"} <= rows.keys() or min(amplitude[rows["I"]], amplitude[rows["II"]]) < FLAT_AMPLITUDE:
        return
    expected = derive_limb_leads({"I": millivolts[rows["I"]], "II": millivolts[rows["II"]]})
    at = [_KEYS.index(key) for key in ("flat", "gap")]
    for lead in flat:
        if np.abs(expected[lead] - millivolts[rows[lead]]).mean() < _EINTHOVEN_ERROR:
            table[at, rows[lead]] = np.maximum(table[at, rows[lead]], _GRADE_SCORES[1][0])


def _reason(key: str, measured: Mapping[str, FloatArray], column: int) -> Reason:
    feature = _FEATURES[key]
    if key != "flat":
        return Reason(feature.code, feature.message.format(float(measured[key][column])))
    height = float(measured["amplitude"][column])
    return Reason("FLAT" if height < FLAT_AMPLITUDE else feature.code, feature.message.format(height))
