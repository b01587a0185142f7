"""Through the real Triton an ECG answers the same alone and among 31 others, whichever model is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

pytest.importorskip("onnxruntime", reason="the workshop's tests need the extra `export`")

from cardiomesh.cards import CARD_FILE, load_card
from cardiomesh.ecg.conditioning import condition
from cardiomesh.local import Addresses
from export.publishing.gate import neighbour_limit
from export.publishing.repository import newest_folder
from export.validation.scoring import TritonModel
from tests.conftest import ROOT

pytestmark = pytest.mark.mesh

REPOSITORY = ROOT / "model_repository"
NAMES = sorted({path.parents[1].name for path in REPOSITORY.glob(f"*/[1-9]*/{CARD_FILE}")})


@pytest.fixture(scope="module")
def thirty_two(ecg_file: Path) -> np.ndarray:
    """The sample ECG shifted and scaled in 32 ways, conditioned: float32 [32, 12, 1000]."""
    counts = pydicom.dcmread(ecg_file).waveform_array(0).T.astype(np.float64) / 1000
    ways = [(shift, gain) for shift in range(0, 4000, 500) for gain in (0.7, 0.9, 1.0, 1.3)]
    return np.stack([condition(gain * np.roll(counts, shift, axis=1), 1000.0) for shift, gain in ways])


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_do_not_matter(name: str, addresses: Addresses, thirty_two: np.ndarray) -> None:
    card = load_card(newest_folder(REPOSITORY, name) / CARD_FILE)
    model = TritonModel(addresses.triton, card)
    together = model.logits(thirty_two, batch=32)
    rows = [0, 7, 31]
    alone = model.logits(thirty_two[rows], batch=1)
    limit = max(neighbour_limit(artifact.precision) for artifact in card.artifacts.values())
    for head, values in alone.items():
        assert np.abs(values - together[head][rows]).max() <= limit
        assert np.ptp(together[head], axis=0).max() > 0.1  # the others are others
