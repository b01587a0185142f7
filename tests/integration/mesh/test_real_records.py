"""A hundred real ECGs at once give the answers they give one by one, in batches."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh.client import AsyncClient, Client
from cardiomesh.errors import UnfitRecording
from cardiomesh.local import Addresses
from tests.integration.mesh.test_analyze import batches

pytestmark = [pytest.mark.mesh, pytest.mark.ptbxl]


def records(folder: Path, count: int) -> np.ndarray:
    """int16 microvolts ``[count, 12, 5000]`` at 500 Hz, by the loader that lies beside the data."""
    spec = importlib.util.spec_from_file_location("ptbxl_loader", folder / "load.py")
    assert spec is not None
    assert spec.loader is not None
    loader: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    signals: np.ndarray = loader.load_ptbxl(count)[0]
    return signals


async def test_a_hundred_at_once(client: Client, addresses: Addresses, data_dir: Path) -> None:
    facts: dict[str, Any] = {"sampling_rate": 500, "unit": "uV", "bypass_cache": True}
    single, signals = [], []
    for signal in records(data_dir, 105):
        with suppress(UnfitRecording):  # one of them has a V1 that comes loose, as the archive notes
            single.append(client.analyze(signal=signal, **facts))
            signals.append(signal)
    single, signals = single[:100], signals[:100]
    before = await batches(addresses)
    async with AsyncClient(addresses.gateway) as many:
        together = await asyncio.gather(*(many.analyze(signal=signal, **facts) for signal in signals))
    grown = {size: n - before.get(size, 0) for size, n in (await batches(addresses)).items()}
    for one, other in zip(single, together, strict=True):
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-4)
    assert len({result.signal_hash for result in single}) == 100
    assert any(size > 1 and n > 0 for size, n in grown.items()), grown
