"""A study sent twice under one key is one study, whichever gateway it reaches and whatever restarts in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh.client import Analysis, AsyncClient
from cardiomesh.errors import InvalidRequest, KeyReused, Unsupported
from cardiomesh.local import Addresses
from gateway.identity import Role
from tests.gateways import gateway
from tests.integration.mesh.test_audit import Store

pytestmark = pytest.mark.mesh
OPEN = {"anonymous_roles": frozenset({Role.CLINICIAN})}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


async def ask(address: str, file: Path, key: str = "study-1", **more: Any) -> Analysis:
    async with AsyncClient(address, credential="") as client:
        return await client.analyze(file=file, idempotency_key=key, bypass_cache=True, **more)


async def test_the_same_answer_after_a_restart_and_one_record_of_it(
    addresses: Addresses, store: Store, ecg_file: Path
) -> None:
    async with gateway(addresses, **store.settings, **OPEN) as first:
        given = await ask(first.grpc_address, ecg_file)
        another = await ask(first.grpc_address, ecg_file, key="study-2")
    async with gateway(addresses, **store.settings, **OPEN) as second:
        again = await ask(second.grpc_address, ecg_file)
        with pytest.raises(KeyReused):
            await ask(second.grpc_address, ecg_file, subject_ref="somebody-else")
        with pytest.raises(InvalidRequest):
            await ask(second.grpc_address, ecg_file, include_signal=True)
    assert (given.replayed, again.replayed) == (False, True)
    assert (again.result_id, again.probabilities) == (given.result_id, given.probabilities)
    assert another.result_id != given.result_id
    of_it = [record for record in store.records() if record["result_id"] == given.result_id]
    assert [record["from_cache"] for record in of_it] == [False, True]
    assert not (await asyncio.to_thread(store.verified))["broken"]


async def test_two_gateways_that_race_give_one_answer(addresses: Addresses, store: Store, ecg_file: Path) -> None:
    async with (
        gateway(addresses, **store.settings, **OPEN) as one,
        gateway(addresses, **(store.settings | {"store_migrate": "false"}), **OPEN) as other,
    ):
        answers = await asyncio.gather(*(ask(g.grpc_address, ecg_file) for g in (one, other) * 3))
    assert len({answer.result_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert np.ptp([list(answer.probabilities.values()) for answer in answers], axis=0).max() == 0


async def test_without_a_store_a_key_is_refused(addresses: Addresses, ecg_file: Path) -> None:
    async with gateway(addresses, **OPEN) as service:
        with pytest.raises(Unsupported):
            await ask(service.grpc_address, ecg_file)
