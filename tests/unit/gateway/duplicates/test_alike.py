"""The same recording in another form is alike; another recording of the same heart is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from gateway.duplicates.alike import ALIKE, similarity
from tests.unit.gateway.duplicates.hearts import RATE, known_by, recording


@pytest.fixture(scope="module")
def millivolts() -> np.ndarray:
    return recording(1)


@pytest.mark.parametrize("down", [2, 5])
def test_resampled(millivolts: np.ndarray, down: int) -> None:
    other = known_by(resample_poly(millivolts, 1, down, axis=1, padtype="line"), RATE / down)
    first = known_by(millivolts)
    assert similarity(first.beats, other.beats) > 0.9
    assert set(first.landmarks) & set(other.landmarks)


def test_rewritten_at_another_gain_and_resolution(millivolts: np.ndarray) -> None:
    other = known_by(np.round(1.1 * millivolts / 0.005) * 0.005)
    assert similarity(known_by(millivolts).beats, other.beats) > 0.9


@pytest.mark.parametrize(("start", "end"), [(333, 0), (0, 500), (751, 1003), (2500, 0)])
def test_trimmed(millivolts: np.ndarray, start: int, end: int) -> None:
    other = known_by(millivolts[:, start : millivolts.shape[1] - end])
    first = known_by(millivolts)
    assert similarity(first.beats, other.beats) > ALIKE + 0.1
    assert set(first.landmarks) & set(other.landmarks)


def test_other_recordings_of_the_same_heart_are_not_alike(millivolts: np.ndarray) -> None:
    first = known_by(millivolts)
    assert max(similarity(first.beats, known_by(recording(seed)).beats) for seed in range(2, 8)) < ALIKE - 0.15


def test_a_paced_heart_is_told_apart_by_its_noise_alone() -> None:
    one, other = (known_by(recording(seed, jitter=0.0)) for seed in (1, 2))
    assert set(one.landmarks) & set(other.landmarks)
    assert similarity(one.beats, other.beats) < ALIKE - 0.15


def test_it_is_symmetrical_and_bounded(millivolts: np.ndarray) -> None:
    one, other = known_by(millivolts), known_by(millivolts[:, 1000:])
    assert similarity(one.beats, other.beats) == similarity(other.beats, one.beats) <= 1.0
    assert similarity(one.beats, one.beats) == 1.0


@pytest.mark.parametrize("beats", [(), (1,), (1, 2)])
def test_too_few_beats_are_like_nothing(millivolts: np.ndarray, beats: tuple[int, ...]) -> None:
    assert similarity(known_by(millivolts).beats, beats) == 0.0


def test_a_recording_without_beats_has_no_fingerprint() -> None:
    assert known_by(np.zeros((12, 5000))).landmarks == ()
    assert known_by(recording(1, seconds=2.0)).landmarks == ()


def test_two_codes_never_look_alike_by_their_intervals_alone() -> None:
    low, high = (800 << 48), (800 << 48) | ((1 << 48) - 1)
    assert similarity([low] * 5, [high] * 5) == 0.0
    assert similarity([low] * 5, [low + (100 << 48)] * 5) == 0.0
    assert similarity([low] * 5, [low + (5 << 48)] * 5) == 1.0
