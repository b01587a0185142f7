"""A long recording through the real mesh: windows as Analyze would answer them, a summary that adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client import AsyncClient, Client, LongOverview, LongPart, LongSummary, LongWindow
from cardiomesh.errors import InvalidRequest, NotFound, UnfitRecording
from cardiomesh.local import Addresses
from cardiomesh.rpc.status import error_from_rpc
from tests.unit.preprocessor.long.tapes import RATE, as_ishne, tape

pytestmark = pytest.mark.mesh

COMMAND = Path(sys.executable).parent / "cardiomesh"


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Two minutes; V2 comes off from second 31 to 35."""
    x = tape(125.0)
    x[7, 31 * RATE : 35 * RATE] = 100
    return x


def sorted_out(parts: list[LongPart]) -> tuple[LongOverview, list[LongWindow], LongSummary]:
    overview, *windows, summary = parts
    assert isinstance(overview, LongOverview)
    assert isinstance(summary, LongSummary)
    return overview, [window for window in windows if isinstance(window, LongWindow)], summary


def test_each_window_is_what_analyze_answers_and_the_summary_adds_up(client: Client, counts: np.ndarray) -> None:
    overview, windows, summary = sorted_out(list(client.analyze_long(as_ishne(counts), model="edge_optimized")))
    assert overview.windows == len(windows) == summary.windows == 13
    assert overview.recording.format == "ishne"
    refused = [window for window in windows if window.refusal]
    assert [window.index for window in refused] == [3]
    assert isinstance(refused[0].refusal, UnfitRecording)
    assert (summary.analyzed, summary.refused) == (12, 1)
    assert [(count.reason, count.first_start) for count in summary.refusals] == [("CONTACT_LOSS", 30.0)]
    for window in windows[::6]:
        first = round(window.start * RATE)
        cut = counts[:, first : first + 10 * RATE]
        alone = client.analyze(signal=cut, sampling_rate=RATE, unit="uV", model="edge_optimized")
        assert window.tensor_hash == alone.tensor_hash
        assert window.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        assert set(window.present) == {finding.code for finding in alone.present}
    answered = [window for window in windows if not window.refusal]
    for burden in summary.findings:
        assert burden.windows == sum(burden.code in window.present for window in answered)
        assert burden.share == pytest.approx(burden.windows / 12)
        assert burden.highest_probability == max(window.probabilities[burden.code] for window in answered)
    assert summary.mean_heart_rate == pytest.approx(75.0, abs=1.0)
    assert summary.worst_quality is not None
    assert summary.worst_quality.start == 30.0


async def test_the_same_with_asyncio_and_another_stride(addresses: Addresses, counts: np.ndarray) -> None:
    async with AsyncClient(addresses.gateway) as connected:
        parts = [part async for part in connected.analyze_long(as_ishne(counts), stride=40.0)]
    assert [window.start for window in sorted_out(parts)[1]] == [0.0, 40.0, 80.0, 115.0]


@pytest.mark.parametrize(
    ("content", "arguments", "error"),
    [
        (b"Dear colleague,\n", {}, InvalidRequest),
        (b"", {}, InvalidRequest),
        (b"x", {"model": "resnet"}, NotFound),
        (b"x", {"stride": -3.0}, InvalidRequest),
    ],
)
def test_bad_input_is_a_typed_error(
    client: Client, content: bytes, arguments: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        list(client.analyze_long(content, **arguments))  # type: ignore[arg-type]


def test_the_short_way_names_the_long_one(client: Client, counts: np.ndarray) -> None:
    with pytest.raises(UnfitRecording, match="AnalyzeLong"):
        client.analyze(file=as_ishne(counts))


def test_the_command_line(addresses: Addresses, counts: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "tape.ecg"
    file.write_bytes(as_ishne(counts))
    command = [str(COMMAND), "analyze-long", str(file), "--gateway", addresses.gateway]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "12 of 13 windows answered, 1 refused" in done.stdout
    assert "CONTACT_LOSS" in done.stdout
    lines = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=True).stdout
    kinds = [next(iter(json.loads(line))) for line in lines.splitlines()]
    assert kinds == ["overview", *["window"] * 13, "summary"]


def test_a_chunk_that_is_no_message_ends_the_stream_with_the_reason(
    addresses: Addresses, authorization: dict[str, str], counts: np.ndarray
) -> None:
    start = gateway_pb2.AnalyzeLongRequest(start=gateway_pb2.AnalyzeLongStart()).SerializeToString()
    chunk = gateway_pb2.AnalyzeLongRequest(chunk=as_ishne(counts)[:9_000]).SerializeToString()
    with grpc.insecure_channel(addresses.gateway) as channel:
        call = channel.stream_stream("/cardiomesh.gateway.v1.CardioMesh/AnalyzeLong")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter([start, chunk, b"\xff\xff"]), timeout=100, metadata=tuple(authorization.items())))
    typed = error_from_rpc(caught.value)
    assert isinstance(typed, InvalidRequest)
    assert typed.violations[0].reason == "MALFORMED"
