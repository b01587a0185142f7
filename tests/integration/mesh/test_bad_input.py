"""The table of bad inputs: each gives its typed error, the mesh lives, nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from redis import Redis

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client import Client
from cardiomesh.client._requests import recording_of
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, NotFound, TooLarge, UnfitRecording
from cardiomesh.local import Addresses

pytestmark = pytest.mark.mesh

Call = Callable[[Client, Path], Any]


def good(file: Path) -> np.ndarray:
    """The real ECG in microvolts, float32 ``[12, n]`` at 1000 Hz."""
    return np.ascontiguousarray(pydicom.dcmread(file).waveform_array(0).T, np.float32)


def signal(change: Callable[[np.ndarray], np.ndarray], **arguments: Any) -> Call:
    facts = {"sampling_rate": 1000, "unit": "uV", **arguments}
    return lambda client, file: client.analyze(signal=change(good(file)), **facts)


def with_nan(ecg: np.ndarray) -> np.ndarray:
    ecg[3, 100] = np.nan
    return ecg


def with_flat_lead(ecg: np.ndarray) -> np.ndarray:
    ecg[7] = 0.0
    return ecg


def saturated(ecg: np.ndarray) -> np.ndarray:
    return np.clip(ecg * 20, -500, 500)


def odd_length(client: Client, file: Path) -> Any:
    """A sample buffer that is no whole number of float32 samples per lead."""
    request = gateway_pb2.AnalyzeRequest()
    request.recording.CopyFrom(recording_of({"signal": good(file), "sampling_rate": 1000, "unit": "uV"}))
    request.recording.signal.samples += b"\0"
    return client._call(client._stub.Analyze, request, "Analyze", None)


LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

#: name, the call, the error, a word its message must hold.
TABLE: list[tuple[str, Call, type[CardioMeshError], str]] = [
    ("truncated DICOM", lambda c, f: c.analyze(file=f.read_bytes()[:9000]), InvalidRequest, "DICOM"),
    ("text file", lambda c, f: c.analyze(file=b"Dear colleague,\n"), InvalidRequest, "recording.file.content"),
    ("empty file", lambda c, f: c.analyze(file=b""), InvalidRequest, "empty"),
    ("11 leads", signal(lambda e: e[:11], leads=LEADS[:11]), UnfitRecording, "V6"),
    ("a lead twice", signal(lambda e: e, leads=(*LEADS[:11], "V5")), InvalidRequest, "V5"),
    ("3 seconds", signal(lambda e: e[:, :3000]), UnfitRecording, "3.00 s"),
    ("two minutes", signal(lambda e: np.tile(e, 12)), UnfitRecording, "120 s"),
    ("no samples", signal(lambda e: e[:, :0]), InvalidRequest, "no samples"),
    ("NaN", signal(with_nan), UnfitRecording, "aVR"),
    ("flat lead", signal(with_flat_lead), UnfitRecording, "V2"),
    ("all flat", signal(np.zeros_like), UnfitRecording, "no lead"),
    ("saturated", signal(saturated), UnfitRecording, ""),
    ("1 Hz", signal(lambda e: e, sampling_rate=1), InvalidRequest, "1 Hz"),
    ("0 Hz", signal(lambda e: e, sampling_rate=0), InvalidRequest, "Hz"),
    ("NaN Hz", signal(lambda e: e, sampling_rate=float("nan")), InvalidRequest, "Hz"),
    ('unit "m"', signal(lambda e: e, unit="m"), InvalidRequest, "m"),
    ("limb leads in another order", signal(lambda e: e[[1, 2, 0, *range(3, 12)]]), UnfitRecording, "holds lead"),
    ("all leads in another order", signal(lambda e: e[::-1]), UnfitRecording, "holds lead"),
    ("microvolts called millivolts", signal(lambda e: e, unit="mV"), UnfitRecording, "unit"),
    ("millivolts called microvolts", signal(lambda e: e / 1000), UnfitRecording, "unit"),
    ("70 MB message", lambda c, f: c.analyze(file=bytes(70 * 1024 * 1024)), TooLarge, ""),
    ("wrong length for its dtype", odd_length, InvalidRequest, ""),
    ("expired deadline", lambda c, f: c.analyze(file=f, timeout=1e-6), DeadlineExceeded, ""),
    ("unknown model", lambda c, f: c.analyze(file=f, model="resnet"), NotFound, "hybrid_mobile"),
    ("long subject reference", lambda c, f: c.analyze(file=f, subject_ref="x" * 129), InvalidRequest, "subject_ref"),
]


@pytest.mark.parametrize(("call", "expected", "word"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_bad_input(
    client: Client, addresses: Addresses, ecg_file: Path, call: Call, expected: type[CardioMeshError], word: str
) -> None:
    with Redis.from_url(f"redis://{addresses.redis}/0") as redis:
        kept = redis.dbsize()
        with pytest.raises(CardioMeshError) as caught:
            call(client, ecg_file)
        assert type(caught.value) is expected, caught.value
        assert word in str(caught.value)
        assert len(str(caught.value)) < 500
        assert redis.dbsize() == kept
    if issubclass(expected, InvalidRequest):
        assert caught.value.violations
    assert client.analyze(file=ecg_file).probabilities
