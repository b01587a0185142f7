"""The canonical signal hash."""

from __future__ import annotations

import numpy as np
import pytest

from cardiomesh.ecg.hashing import MILLIVOLTS_PER_COUNT, canonical, signal_hash, tensor_hash


def test_the_hash_of_a_known_signal_never_changes() -> None:
    """Cached results and audit trails hold it: a change here is a change of contract."""
    counts = np.arange(12 * 50, dtype=np.float64).reshape(12, 50) - 300
    assert (
        signal_hash(canonical(counts * 1e-3), 500.0)
        == "7815a94bd44cbde7cb48cd7edff4d17d7dacaa7ea1018a8489cc1104c5476cee"
    )


@pytest.mark.parametrize("step", [1.0, 1.25, 2.5, 4.88, 5.0, 0.5, 5000 / 2048, 1000 / 4096])
def test_rounding_of_floats_never_changes_it(step: float) -> None:
    counts = np.random.default_rng(2).integers(-3000, 3000, (12, 5000))
    exact = counts * (step * 1e-3)
    ways = [exact, counts * step / 1000, (counts * step) * 1e-3, (exact).astype(np.float32).astype(np.float64)]
    assert len({signal_hash(canonical(way), 500.0) for way in ways}) == 1


def test_length_and_rate_are_part_of_it() -> None:
    x = np.zeros((12, 100), np.int32)
    assert len({signal_hash(x, 500.0), signal_hash(x, 250.0), signal_hash(x[:, :50], 500.0)}) == 3


def test_tensor_hash_is_plain_sha256() -> None:
    assert tensor_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_canonical_counts_are_the_signal_within_half_a_count() -> None:
    x = np.random.default_rng(3).normal(0, 1, (12, 5000))
    assert np.abs(canonical(x) * MILLIVOLTS_PER_COUNT - x).max() <= 0.52 * MILLIVOLTS_PER_COUNT
