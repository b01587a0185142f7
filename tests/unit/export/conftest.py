"""Small networks and synthetic recordings: real code, no real patients, seconds on one core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the workshop's tests need the extra `export`")
pd = pytest.importorskip("pandas", reason="the workshop's tests need the extra `export`")

from export.architectures import Hybrid, HybridConfig  # noqa: E402
from export.training.ptbxl import Records  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny_config() -> HybridConfig:
    return HybridConfig(
        stem_channels=8,
        growth=4,
        dense_layers=(1, 2, 1),
        gru_hidden=8,
        gru_layers=2,
        encoder_layers=2,
        encoder_heads=2,
        feed_forward_ratio=2,
        heads={"statements": 7, "rhythm": 2},
        auxiliary={"rare": 1, "sex": 1, "age": 1},
    )


@pytest.fixture
def tiny_network(tiny_config: HybridConfig) -> Hybrid:
    """Random weights, and batch statistics that are not those of an untrained network."""
    torch.manual_seed(7)
    network = Hybrid(tiny_config)
    random = torch.Generator().manual_seed(8)
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(8, 12, 1000, generator=random))
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return network.eval()


def synthetic_ecg(random: np.random.Generator, normal: bool) -> np.ndarray:
    """float32 [12, 1000] in millivolts: beats whose T wave is inverted where the ECG is not normal."""
    seconds = np.arange(1000) / 100
    beat = np.mod(seconds * random.uniform(0.9, 1.5) + random.random(), 1)
    qrs = np.exp(-(((beat - 0.3) / 0.02) ** 2))
    t = 0.4 * np.exp(-(((beat - 0.6) / 0.07) ** 2))
    shape = qrs + (t if normal else -t)
    leads = random.uniform(0.5, 1.0, (12, 1)) * shape + 0.02 * random.standard_normal((12, 1000))
    return leads.astype(np.float32)


@pytest.fixture(scope="module")
def records() -> Records:
    """180 synthetic recordings of folds 1-9, 20 each: NORM, or two further statements."""
    random = np.random.default_rng(3)
    statements = pd.DataFrame(
        {
            "diagnostic": [1, 1, 1, 1, 1, 0, 0],
            "form": [0, 0, 0, 0, 0, 1, 0],
            "rhythm": [0, 0, 0, 0, 0, 0, 1],
            "diagnostic_class": ["NORM", "MI", "STTC", "CD", "HYP", None, None],
        },
        index=["NORM", "IMI", "NDT", "LAFB", "LVH", "ABQRS", "SR"],
    )
    rows: list[dict[str, Any]] = []
    signals = []
    for number in range(180):
        kind = number % 5
        codes = [["NORM", "SR"], ["IMI", "ABQRS"], ["NDT", "SR"], ["LAFB", "ABQRS"], ["LVH"]][kind]
        signals.append(synthetic_ecg(random, kind == 0))
        rows.append(
            {
                "ecg_id": number + 1,
                "patient_id": number + 1000,
                "age": float(random.integers(30, 80)) if number % 7 else float("nan"),
                "sex": number % 2,
                "strat_fold": number // 20 + 1,
                "codes": tuple(sorted(codes)),
            }
        )
    return Records(np.stack(signals), pd.DataFrame(rows), statements, "synthetic (180 records)")


@pytest.fixture
def contents() -> Any:
    """A function: folder → every file in it with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return read
