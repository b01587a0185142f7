"""The same recording in several containers, and the reference readers."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS
from preprocessor.decoding import FileInput, RecordingInput, SignalInput

with warnings.catch_warnings():  # wfdb 4.3 uses what pandas 3.1 deprecates
    warnings.simplefilter("ignore")
    import wfdb

__all__ = ["as_file", "as_float", "as_signal", "heart", "wfdb", "zipped"]


def heart(seconds: float = 10.0, rate: float = 500.0, seed: int = 7, noise: float = 0.004) -> npt.NDArray[np.int16]:
    """A plausible 12-lead ECG in µV: P, QRS and T as bumps, lead by lead, obeying Einthoven's law; int16 [12, n]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    period = 0.8
    bumps = (  # delay s, width s, height mV
        (-0.16, 0.025, 0.12),
        (-0.03, 0.008, -0.1),
        (0.0, 0.011, 1.1),
        (0.03, 0.01, -0.3),
        (0.25, 0.05, 0.3),
    )
    phases = [(t - 0.35 - d + period / 2) % period - period / 2 for d, _, _ in bumps]
    base = np.array([h * np.exp(-0.5 * (p / w) ** 2) for p, (_, w, h) in zip(phases, bumps, strict=True)])
    gains = {"I": 0.5, "II": 1.5, "V1": -0.6, "V2": -0.9, "V3": 0.7, "V4": 1.4, "V5": 1.2, "V6": 0.9}
    mixes = {lead: gain * rng.uniform(0.9, 1.1, len(base)) for lead, gain in gains.items()}
    free = {lead: mix @ base + noise * rng.standard_normal(len(t)) for lead, mix in mixes.items()}
    one, two = (np.rint(free[k] * 500) * 2 for k in ("I", "II"))  # even µV, so that the derived leads are whole
    limb = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    chest = {lead: np.rint(free[lead] * 1000) for lead in STANDARD_LEADS[6:]}
    return np.stack([{**limb, **chest}[lead] for lead in STANDARD_LEADS]).astype(np.int16)


def as_signal(
    microvolts: npt.NDArray[np.int16],
    rate: float = 500.0,
    leads: tuple[str, ...] = STANDARD_LEADS,
    unit: str = "uV",
) -> RecordingInput:
    """The recording as plain int16 numbers."""
    return RecordingInput(SignalInput(leads, rate, unit, "int16", microvolts.astype("<i2").tobytes()))


def as_float(millivolts: npt.NDArray[np.floating], rate: float = 500.0, unit: str = "mV") -> RecordingInput:
    """The recording as plain float32 numbers."""
    return RecordingInput(SignalInput(STANDARD_LEADS, rate, unit, "float32", millivolts.astype("<f4").tobytes()))


def as_file(content: bytes, hint: str = "") -> RecordingInput:
    """A file as sent."""
    return RecordingInput(FileInput(content, hint))


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
