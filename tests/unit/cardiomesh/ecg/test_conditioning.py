"""Conditioning against the textbook: the same numbers as scipy's own resampling and zero-phase filtering."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from cardiomesh.ecg.conditioning import MODEL_RATE_HZ, PASS_BAND_HZ, WINDOW_SAMPLES, _resampler, condition, window
from tests.unit.preprocessor.recordings import heart


def reference(x: np.ndarray, rate: float) -> np.ndarray:
    x = x - x.mean(axis=-1, keepdims=True)
    up, down, taps = _resampler(rate)
    if (up, down) != (1, 1):
        x = signal.resample_poly(x, up, down, axis=-1, window=taps, padtype="line")
    sos = signal.butter(2, PASS_BAND_HZ, btype="bandpass", fs=MODEL_RATE_HZ, output="sos")
    return np.asarray(signal.sosfiltfilt(sos, x, axis=-1))


@pytest.mark.parametrize("rate", [100.0, 200.0, 250.0, 300.0, 500.0, 512.0, 800.0, 1000.0, 2000.0])
@pytest.mark.parametrize("seconds", [9.8, 10.0, 12.34])
def test_the_fast_way_gives_the_numbers_of_scipy(rate: float, seconds: float) -> None:
    x = heart(seconds, rate) * 1e-3 + np.linspace(-3, 5, 12)[:, None]
    np.testing.assert_allclose(condition(x, rate), reference(x, rate), atol=2e-7)


def test_band_and_gain() -> None:
    t = np.arange(10_000) / 500

    def gain(hertz: float) -> float:
        y = condition(np.sin(2 * np.pi * hertz * t)[None], 500.0)[0, 500:1500]
        return float(y.std() * 2**0.5)

    assert gain(10.0) == pytest.approx(1.0, abs=0.01)
    assert gain(0.05) < 0.02
    assert gain(60.0) < 0.02
    assert gain(90.0) < 0.01  # would alias to 10 Hz


def test_no_lead_depends_on_another() -> None:
    x = heart() * 1e-3
    alone = np.concatenate([condition(x[k : k + 1], 500.0) for k in range(12)])
    np.testing.assert_array_equal(condition(x, 500.0), alone)


@pytest.mark.parametrize(("samples", "starts"), [(980, [0]), (1000, [0]), (1001, [0, 0.01]), (2500, [0, 7.5, 15])])
def test_windows(samples: int, starts: list[float]) -> None:
    ramp = np.broadcast_to(np.arange(samples, dtype=np.float32), (12, samples)).copy()
    windows, found = window(ramp)
    assert windows.shape == (len(starts), 12, WINDOW_SAMPLES)
    assert list(found) == pytest.approx(starts)
    assert windows[:, 0, 0].tolist() == pytest.approx([s * 100 for s in starts])
