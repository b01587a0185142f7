"""The same recording in another form is marked, within one subject only, and answered as always."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from cardiomesh.client import AsyncClient, RecordingArguments
from cardiomesh.local import Addresses
from gateway.identity import Role
from tests.gateways import gateway

pytestmark = pytest.mark.mesh


async def test_a_trimmed_recording_names_the_earlier_answer(
    addresses: Addresses, ecg_file: Path, tmp_path: Path
) -> None:
    microvolts = np.ascontiguousarray(pydicom.dcmread(ecg_file).waveform_array(0).T)
    longer = np.concatenate([microvolts, microvolts[:, ::-1]], axis=1)  # 20 s whose halves differ
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)

    def sent(start: int, subject: str) -> RecordingArguments:
        # Longer than this, so that trimmed ones are still ten seconds.
        return {"signal": longer[:, start:], "sampling_rate": 1000.0, "unit": "uV", "subject_ref": subject}

    settings = {"near_duplicates_s": 60, "store_key": key, "cache_timeout_s": 5.0}
    async with (
        gateway(addresses, anonymous_roles=frozenset({Role.CLINICIAN}), **settings) as service,
        AsyncClient(service.grpc_address, credential="") as client,
    ):
        first = await client.analyze(**sent(0, "anna"))
        again = await client.analyze(**sent(3456, "anna"))
        other = await client.analyze(**sent(3456, "bert"))
        nobody = await client.analyze(**sent(3456, ""))
        aside = await client.analyze(**sent(3456, "anna"), bypass_cache=True)
    assert first.near_duplicate is not None
    assert again.near_duplicate is not None
    assert other.near_duplicate is not None
    assert (first.near_duplicate.looked_up, first.near_duplicate.result_id) == (True, "")
    assert again.near_duplicate.result_id == first.result_id
    assert again.near_duplicate.similarity > 0.5
    assert again.result_id != first.result_id
    assert again.probabilities != first.probabilities
    assert other.result_id == again.result_id  # the same signal, so the same answer, and nothing of anna in it
    assert other.near_duplicate.result_id == ""
    assert nobody.near_duplicate is None
    assert aside.near_duplicate is None
