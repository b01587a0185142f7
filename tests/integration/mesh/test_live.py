"""Live recordings through the real mesh: each window is what Analyze says of these ten seconds alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cardiomesh.client import (
    AsyncClient,
    Client,
    LiveEnd,
    LivePart,
    LiveSkipped,
    LiveStarted,
    LiveStream,
    LiveWindow,
)
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, UnfitRecording
from cardiomesh.local import Addresses
from tests.unit.preprocessor.long.tapes import RATE, tape

pytestmark = pytest.mark.mesh

COMMAND = Path(sys.executable).parent / "cardiomesh"
MODEL = "edge_optimized"


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """A minute and a half: V2 comes off from second 31 to 35, and from 50 to 62 no lead shows anything."""
    x = tape(90.0)
    x[7, 31 * RATE : 35 * RATE] = 100
    x[:, 50 * RATE : 62 * RATE] = 0
    return x


def fed(stream: LiveStream, x: np.ndarray, sizes: Iterator[int]) -> list[LivePart]:
    """Send all of it in chunks of these sizes from one thread, and take the answers in another."""

    def feed() -> None:
        at = 0
        while at < x.shape[1]:
            size = next(sizes)
            stream.send(x[:, at : at + size])
            at += size
        stream.finish()

    sender = threading.Thread(target=feed)
    sender.start()
    try:
        return list(stream)
    finally:
        stream.close()
        sender.join()


def odd_sizes() -> Iterator[int]:
    rng = np.random.default_rng(3)
    while True:
        yield int(rng.integers(1, 900))


def test_each_window_is_what_analyze_says_of_exactly_these_ten_seconds(client: Client, counts: np.ndarray) -> None:
    stream = client.stream(RATE, unit="uV", sample_type="int16", stride=7, model=MODEL, measure=True)
    started, *rest = fed(stream, counts, odd_sizes())
    assert isinstance(started, LiveStarted)
    windows, end = rest[:-1], rest[-1]
    assert isinstance(end, LiveEnd)
    assert sorted(w.index for w in windows if isinstance(w, LiveWindow)) == list(range(12))
    assert (end.answered + end.refused, end.skipped, end.unused_samples) == (12, 0, 3 * RATE)
    for window in windows:
        assert isinstance(window, LiveWindow)
        cut = counts[:, window.first_sample : window.first_sample + 10 * RATE]
        if window.analysis is None:
            with pytest.raises(UnfitRecording) as refused:
                client.analyze(signal=cut, sampling_rate=RATE, unit="uV", model=MODEL, measure=True)
            assert isinstance(window.error, UnfitRecording)
            assert window.error.violations == refused.value.violations
            continue
        alone = client.analyze(signal=cut, sampling_rate=RATE, unit="uV", model=MODEL, measure=True)
        assert window.analysis.tensor_hash == alone.tensor_hash
        assert window.analysis.signal_hash == alone.signal_hash
        assert window.analysis.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
        assert window.analysis.measurements == alone.measurements
        assert window.analysis.quality == alone.quality
        assert window.analysis.decision == alone.decision
    errors = {w.index: w.error for w in windows if isinstance(w, LiveWindow) and w.error is not None}
    assert {violation.reason for violation in errors[4].violations} == {"CONTACT_LOSS"}


def test_an_answer_can_be_looked_up_and_explained_afterwards(client: Client, counts: np.ndarray) -> None:
    parts = fed(client.stream(RATE, unit="uV", sample_type="int16"), counts[:, : 10 * RATE], odd_sizes())
    window = parts[1]
    assert isinstance(window, LiveWindow)
    assert window.analysis is not None
    assert client.result(window.analysis.result_id).probabilities == window.analysis.probabilities


def test_a_flat_line_is_raised_once_and_cleared_when_the_heart_is_back(client: Client, counts: np.ndarray) -> None:
    stream = client.stream(RATE, unit="uV", sample_type="int16", stride=2, model=MODEL, clear_after=2)
    parts = fed(stream, counts, odd_sizes())
    windows = sorted((p for p in parts if isinstance(p, LiveWindow)), key=lambda w: w.index)
    told = [(alarm.code, alarm.state, window.start) for window in windows for alarm in window.alarms]
    assert [(code, state) for code, state, _ in told if code == "flat_line"] == [
        ("flat_line", "raised"),
        ("flat_line", "cleared"),
    ]
    raised, cleared = (start for code, _, start in told if code == "flat_line")
    assert 46 <= raised <= 52
    assert cleared >= 54
    assert parts[-2].active_alarms == ()  # type: ignore[union-attr]


async def test_the_same_with_asyncio_where_a_gap_is_said(addresses: Addresses, counts: np.ndarray) -> None:
    async with AsyncClient(addresses.gateway) as connected:
        stream = connected.stream(
            RATE, unit="uV", sample_type="int16", stride=5, model=MODEL, slow_below=100.0, when_behind="skip", unsent=45
        )

        async def feed() -> None:
            # All before the first is on the wire: of 90 seconds the older half is given up.
            for first in range(0, counts.shape[1], RATE):
                await stream.send(counts[:, first : first + RATE])
            await stream.finish()

        async with stream:
            sender = asyncio.create_task(feed())
            await sender
            parts = [part async for part in stream]
    gaps = [part for part in parts if isinstance(part, LiveSkipped) and part.reason == "gap"]
    assert gaps
    answered = {part.index for part in parts if isinstance(part, LiveWindow)}
    skipped = {
        k for part in parts if isinstance(part, LiveSkipped) for k in range(part.first_index, part.last_index + 1)
    }
    assert not answered & skipped
    assert answered | skipped == set(range(17))
    assert any(a.code == "slow_ventricular_rate" for p in parts if isinstance(p, LiveWindow) for a in p.alarms)


@pytest.mark.parametrize(
    ("arguments", "error", "field"),
    [
        ({"unit": "furlong"}, InvalidRequest, "start.unit"),
        ({"leads": ["I", "II", "V1"]}, InvalidRequest, "start.leads"),
        ({"model": "resnet"}, NotFound, None),
        ({"stride": 0.1}, InvalidRequest, "start.stride"),
    ],
)
async def test_a_refusal_in_the_middle_of_an_upload_reaches_both_clients(
    addresses: Addresses, arguments: dict[str, object], error: type[CardioMeshError], field: str | None
) -> None:
    """What the server says, not "Internal error from Core" of grpc.aio."""
    leads = len(arguments.get("leads", range(12)))  # type: ignore[arg-type]
    second = np.ones((leads, 500), np.float32)

    def check(raised: CardioMeshError) -> None:
        assert type(raised) is error or field is not None
        assert field is None or [violation.field for violation in raised.violations] == [field]

    async with AsyncClient(addresses.gateway) as connected:
        for _ in range(3):
            async with connected.stream(500.0, **arguments) as stream:  # type: ignore[arg-type]

                async def feed(stream: object = stream) -> None:
                    while True:
                        await stream.send(second)  # type: ignore[attr-defined]

                sender = asyncio.create_task(feed())
                with pytest.raises(error) as caught:
                    async for _part in stream:
                        pass
                check(caught.value)
                with pytest.raises(error):  # whoever sends is told, too
                    await sender
    with Client(addresses.gateway) as blocking, blocking.stream(500.0, **arguments) as one:  # type: ignore[arg-type]
        with pytest.raises(error) as caught:
            list(one)
        check(caught.value)


async def test_a_refused_tape_says_why_to_an_asyncio_caller(addresses: Addresses) -> None:
    async with AsyncClient(addresses.gateway) as connected:
        for _ in range(5):
            with pytest.raises(NotFound, match="no such model"):
                async for _part in connected.analyze_long(bytes(8 * 2**20), model="resnet"):
                    pass


def test_the_command_line_replays_a_file_and_reads_lines(addresses: Addresses, ecg_file: Path, tmp_path: Path) -> None:
    command = [str(COMMAND), "monitor", "--gateway", addresses.gateway]
    replay = [*command, str(ecg_file), "--speed", "0", "--repeat", "2", "--stride", "10"]
    done = subprocess.run(replay, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 windows answered, 0 refused, 0 skipped" in done.stdout
    lines = tmp_path / "ecg.csv"
    convert = [str(COMMAND), "convert", str(ecg_file), str(lines)]
    subprocess.run(convert, capture_output=True, timeout=120, check=True)
    with lines.open() as numbers:
        told = subprocess.run(
            [*command, "-", "--json"], stdin=numbers, capture_output=True, text=True, timeout=120, check=True
        ).stdout
    parts = [json.loads(line) for line in told.splitlines()]
    assert [next(iter(part)) for part in parts] == ["started", "window", "end"]
    assert parts[1]["window"]["analysis"]["probabilities"]
    bad = subprocess.run([*command, "-"], input="I,II\nx,y\n", capture_output=True, text=True, timeout=60, check=False)
    assert bad.returncode == 2
    assert "not a number" in bad.stderr
