"""An archive through the real mesh: bad files between good ones, the SDK's two clients, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cardiomesh.client import AsyncClient, BatchItem, Client, RecordingArguments
from cardiomesh.errors import InvalidRequest, NotFound, TooLarge, UnfitRecording
from cardiomesh.local import Addresses
from tests.unit.preprocessor.recordings import heart

pytestmark = pytest.mark.mesh

COMMAND = Path(sys.executable).parent / "cardiomesh"
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

ITEMS: dict[str, RecordingArguments] = {
    "flat": {"signal": np.zeros((12, 5000), np.float32), "sampling_rate": 500},
    "text": {"file": b"Dear colleague,\n"},
    "no such file": {"file": "/nowhere/ecg.dcm"},
    "far too large": {"file": bytes(17 * 2**20)},
    **{f"heart {k}": {"signal": heart(seed=k), "sampling_rate": 500, "unit": "uV"} for k in range(5)},
}
ERRORS = {"flat": UnfitRecording, "text": InvalidRequest, "no such file": InvalidRequest, "far too large": TooLarge}


def check(client: Client, found: dict[str, BatchItem]) -> None:
    assert found.keys() == ITEMS.keys()
    for name, error in ERRORS.items():
        assert type(found[name].error) is error, name
        assert found[name].analysis is None
    for name, arguments in ITEMS.items():
        if name not in ERRORS:
            alone = client.analyze(**arguments)
            analysis = found[name].analysis
            assert analysis is not None
            assert analysis.signal_hash == alone.signal_hash
            assert analysis.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_a_batch_answers_each_recording_as_if_alone(client: Client) -> None:
    check(client, {item.item_id: item for item in client.analyze_batch(ITEMS.items())})


async def test_the_same_with_asyncio(client: Client, addresses: Addresses) -> None:
    async with AsyncClient(addresses.gateway) as connected:
        check(client, {item.item_id: item async for item in connected.analyze_batch(ITEMS.items())})


def test_what_concerns_every_item_is_each_item_s_error(client: Client) -> None:
    found = list(client.analyze_batch(ITEMS.items(), model="resnet"))
    assert {type(item.error) for item in found if item.item_id.startswith("heart")} == {NotFound}


def test_an_error_of_the_caller_s_own_iterable_is_raised_as_it_is(client: Client) -> None:
    def broken() -> Iterator[tuple[str, RecordingArguments]]:
        yield next((name, ITEMS[name]) for name in ITEMS if name not in ERRORS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(client.analyze_batch(broken()))


def test_an_archive_by_the_command_line_goes_on_where_it_stopped(
    addresses: Addresses, ecg_file: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "archive", tmp_path / "out.jsonl"
    (folder / "ward").mkdir(parents=True)
    (folder / "Maria.dcm").write_bytes(ecg_file.read_bytes())
    (folder / "ward" / "letter.txt").write_text("Dear colleague,\n")
    counts = heart().T.astype("<i2")
    (folder / "r.hea").write_text(
        "\n".join(["r 12 500 5000"] + [f"r.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS]) + "\n"
    )
    (folder / "r.dat").write_bytes(counts.tobytes())
    command = [str(COMMAND), "analyze-batch", str(folder), "--out", str(out), "--gateway", addresses.gateway]
    first = run(command)
    assert first.returncode == 2, first.stderr
    lines = {Path(entry["file"]).name: entry for entry in map(json.loads, out.read_text().splitlines())}
    assert lines.keys() == {"Maria.dcm", "letter.txt", "r.hea"}
    assert lines["letter.txt"]["error"]["reason"] == "INVALID_REQUEST"
    assert lines["Maria.dcm"]["result"]["probabilities"]
    out.write_text(out.read_text()[:-40])  # as if stopped while writing
    second = run(command)
    assert "2 done before" in second.stderr
    assert len(out.read_text().splitlines()) == 4


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
