"""What the answers do when recordings are worse than those the model was trained on.

Each condition spoils the recording as the device stored it (500 Hz, millivolts) and then goes the way of service: the
preprocessor's own conditioning and quality grade. All is drawn from a fixed seed, so that every model sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from cardiomesh.cards import ModelCard
from cardiomesh.ecg.conditioning import WINDOW_SAMPLES, condition
from cardiomesh.ecg.leads import LIMB_LEADS, STANDARD_LEADS, derive_limb_leads
from cardiomesh.ecg.quality import Grade, grade
from export.calibration.heads import judge
from export.training.labels import SUPERCLASSES
from export.validation.metrics import Interval, macro_auc, paired_change
from export.validation.scoring import Scorer

__all__ = ["CONDITIONS", "Condition", "Effect", "Spoilt", "robustness", "spoil"]

FloatArray = npt.NDArray[np.float64]

SOURCE_RATE_HZ: Final = 500
_DRAWS: Final = 300
#: For more recordings than this the tensors of all conditions would fill the memory.
_KEPT_RECORDS: Final = 600
#: What a recording may be short of ten seconds before the preprocessor refuses it (docs/decisions/lengths.md).
_SHORTEST_SECONDS: Final = 9.8


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A recording after a condition: millivolts [12, n] at ``rate`` Hz, and how its window is filled up."""

    millivolts: FloatArray
    rate: float = SOURCE_RATE_HZ
    fill: Any = "edge"


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to spoil a recording; ``apply`` also gets a generator of its own per recording."""

    group: str
    name: str
    apply: Callable[[FloatArray, np.random.Generator], Spoilt]


def _as_it_is(x: FloatArray, _: np.random.Generator) -> Spoilt:
    return Spoilt(x)


def _derived_limbs(x: FloatArray, _: np.random.Generator) -> Spoilt:
    rows = {lead: x[k] for k, lead in enumerate(STANDARD_LEADS)}
    derived = derive_limb_leads({"I": rows["I"], "II": rows["II"]})
    return Spoilt(np.stack([derived.get(lead, rows[lead]) for lead in STANDARD_LEADS]))


def _without(x: FloatArray, random: np.random.Generator, count: int) -> Spoilt:
    lost = random.choice(STANDARD_LEADS[len(LIMB_LEADS) :], count, replace=False)
    y = x.copy()
    y[[STANDARD_LEADS.index(lead) for lead in lost]] = 0.0
    return Spoilt(y)


def _with_noise(x: FloatArray, random: np.random.Generator, band: tuple[float, float], decibels: float) -> Spoilt:
    """White noise in a band (Hz), independent per lead, at this signal-to-noise ratio over all leads."""
    sos = signal.butter(2, band, btype="bandpass", fs=SOURCE_RATE_HZ, output="sos")
    noise = signal.sosfiltfilt(sos, random.standard_normal((len(x), 2 * x.shape[1])))[:, : x.shape[1]]
    power = np.mean((x - x.mean(axis=1, keepdims=True)) ** 2)
    return Spoilt(x + noise * np.sqrt(power / np.mean(noise**2) / 10 ** (decibels / 10)))


def _with_mains(x: FloatArray, random: np.random.Generator, millivolts: float) -> Spoilt:
    seconds = np.arange(x.shape[1]) / SOURCE_RATE_HZ
    return Spoilt(x + millivolts * np.sin(2 * np.pi * (50 * seconds + random.random())))


def _scaled(x: FloatArray, _: np.random.Generator, gain: float) -> Spoilt:
    return Spoilt(gain * x)


def _resampled(x: FloatArray, _: np.random.Generator, rate: int) -> Spoilt:
    return Spoilt(signal.resample_poly(x, rate, SOURCE_RATE_HZ, axis=1, padtype="line"), rate)


def _cut(x: FloatArray, _: np.random.Generator, seconds: float, fill: str) -> Spoilt:
    return Spoilt(x[:, : round(seconds * SOURCE_RATE_HZ)], fill=fill)


def _conditions() -> Iterator[Condition]:
    yield Condition("", "as recorded", _as_it_is)
    yield Condition("leads", "III, aVR, aVL, aVF computed from I and II", _derived_limbs)
    yield Condition("leads", "one chest lead flat", partial(_without, count=1))
    yield Condition("leads", "three chest leads flat", partial(_without, count=3))
    yield Condition("leads", "all chest leads flat", partial(_without, count=6))
    for decibels in (20, 10, 5, 0):
        yield Condition(
            "noise",
            f"muscle noise 20-150 Hz, SNR {decibels} dB",
            partial(_with_noise, band=(20, 150), decibels=decibels),
        )
    for decibels in (0, -10):
        yield Condition(
            "noise",
            f"baseline wander 0.1-0.5 Hz, SNR {decibels} dB",
            partial(_with_noise, band=(0.1, 0.5), decibels=decibels),
        )
    yield Condition("noise", "mains hum, 0.2 mV", partial(_with_mains, millivolts=0.2))
    for gain in (0.5, 0.9, 1.1, 2.0):
        yield Condition("gain", f"all leads times {gain}", partial(_scaled, gain=gain))
    for rate in (250, 400, 1000):
        yield Condition("rate", f"source at {rate} Hz", partial(_resampled, rate=rate))
    for seconds in (9, 7, 5):
        for fill in ("edge", "zero", "repeat", "mirror"):
            yield Condition("length", f"{seconds} s, filled by {fill}", partial(_cut, seconds=seconds, fill=fill))


CONDITIONS: Final = tuple(_conditions())


def _filled(conditioned: npt.NDArray[np.float32], fill: str) -> npt.NDArray[np.float32]:
    short = WINDOW_SAMPLES - conditioned.shape[1]
    if short <= 0:
        return conditioned[:, :WINDOW_SAMPLES]
    modes = {"edge": "edge", "zero": "constant", "repeat": "wrap", "mirror": "symmetric"}
    return np.pad(conditioned, ((0, 0), (0, short)), mode=modes[fill])  # type: ignore[call-overload,no-any-return]


def spoil(microvolts: npt.NDArray[np.int16], how: Condition, seed: int = 0) -> tuple[npt.NDArray[np.float32], float]:
    """Tensors float32 [N, 12, 1000] of recordings [N, 12, n] at 500 Hz, and the share that service would refuse."""
    tensors, refused = [], 0
    for number, record in enumerate(microvolts):
        spoilt = how.apply(record / 1000.0, np.random.default_rng((seed, number)))
        tensors.append(_filled(condition(spoilt.millivolts, spoilt.rate), spoilt.fill))
        short = spoilt.millivolts.shape[1] / spoilt.rate < _SHORTEST_SECONDS
        refused += short or grade(spoilt.millivolts, spoilt.rate, STANDARD_LEADS).grade is Grade.REJECT
    return np.stack(tensors), refused / len(microvolts)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one condition does to the superclass answers, against the same recordings as they were recorded."""

    group: str
    condition: str
    #: Share of the recordings that the preprocessor would refuse instead.
    refused: float
    macro_auc: float
    change: Interval
    #: Share of calls that turn over, and mean change of a probability.
    flipped: float
    moved: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "group": self.group,
            "condition": self.condition,
            "refused": round(self.refused, 4),
            "macro_auc": round(self.macro_auc, 4),
            "change": self.change.as_dict(),
            "flipped": round(self.flipped, 4),
            "moved": round(self.moved, 4),
        }


def robustness(
    card: ModelCard,
    model: Scorer,
    microvolts: npt.NDArray[np.int16],
    truth: npt.NDArray[np.floating],
    patients: npt.NDArray[Any],
    spoilt: dict[str, tuple[npt.NDArray[np.float32], float]],
    conditions: tuple[Condition, ...] = CONDITIONS,
) -> list[Effect]:
    """The effect of each condition; ``truth`` is [N, superclasses], ``spoilt`` keeps tensors for the next model."""
    count = len(SUPERCLASSES)
    rows: list[Effect] = []
    base = None
    for how in conditions:
        tensors, refused = spoilt.get(how.name) or spoil(microvolts, how)
        if len(microvolts) <= _KEPT_RECORDS:
            spoilt[how.name] = tensors, refused
        judged = judge(card.heads, model.logits(tensors))
        p, called = judged.probability[:, :count], judged.called[:, :count]
        if base is None:
            base = p, called
        rows.append(
            Effect(
                how.group,
                how.name,
                refused,
                macro_auc(truth, p),
                paired_change(truth, p, base[0], patients, _DRAWS),
                float((called != base[1]).mean()),
                float(np.abs(p - base[0]).mean()),
            )
        )
    return rows
