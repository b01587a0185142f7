"""EDF and EDF+ as pyedflib writes them, and each trap as a variation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from preprocessor.prepare import prepare
from tests.unit.preprocessor.recordings import as_file, as_signal, heart

SCALE = {"dimension": "uV", "sample_frequency": 500, "physical_min": -32768, "physical_max": 32767,
         "digital_min": -32768, "digital_max": 32767}  # fmt: skip


def written(path: Path, *, plus: bool = False, others: int = 0, duration: float = 1.0, **identity: Any) -> bytes:
    """The synthetic heart in twelve channels of 1 µV steps, and ``others`` channels at 10 Hz."""
    writer = pyedflib.EdfWriter(
        str(path), 12 + others, file_type=pyedflib.FILETYPE_EDFPLUS if plus else pyedflib.FILETYPE_EDF
    )
    if duration != 1.0:
        writer.setDatarecordDuration(duration)
    headers = [{"label": f"ECG {lead}", **SCALE} for lead in STANDARD_LEADS]
    headers += [{"label": f"Resp {k}", **SCALE, "dimension": "degree", "sample_frequency": 10} for k in range(others)]
    writer.setSignalHeaders(headers)
    if plus:
        writer.setPatientName(identity.get("name", "X"))
        writer.setPatientCode(identity.get("code", "X"))
        writer.setPatientAdditional(identity.get("note", ""))
        writer.setTechnician(identity.get("technician", ""))
        writer.setAdmincode(identity.get("admin", ""))
        writer.setRecordingAdditional(identity.get("note", ""))
        writer.writeAnnotation(1.0, -1, identity.get("note", "beat"))
    rows = [row.astype(np.int32) for row in heart()] + [np.zeros(100, np.int32)] * others
    writer.writeSamples(rows, digital=True)
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("plus", [False, True])
def test_edf_has_the_same_hash(tmp_path: Path, plus: bool) -> None:
    content = written(tmp_path / "r.edf", plus=plus)
    assert decode(as_file(content)).format == "edf"
    assert prepare(as_file(content)).signal_hash == prepare(as_signal(heart())).signal_hash


def test_annotations_and_identity_stay_in_the_file(tmp_path: Path) -> None:
    content = written(
        tmp_path / "r.edf", plus=True, name="Zzplanted", code="MRN0099887", note="Planted_note", technician="Planted",
        admin="ACC5550001",
    )  # fmt: skip
    assert b"Zzplanted" in content
    recording = decode(as_file(content))
    assert recording.leads == STANDARD_LEADS
    shown = repr(recording).lower()
    assert [word for word in ("planted", "mrn0099887", "acc5550001") if word in shown] == []


def test_channels_of_another_rate_are_kept_apart(tmp_path: Path) -> None:
    recording = decode(as_file(written(tmp_path / "r.edf", others=2)))
    assert (recording.leads, recording.samples) == (STANDARD_LEADS, 5000)
    assert recording.remarks == ("OTHER_RATES_APART",)
    assert [c.millivolts for c in recording.extra] == [None, None]


def test_a_rate_that_is_not_whole_is_not_rounded(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "r.edf"))
    content[244:252] = b"1.001   "
    assert decode(as_file(bytes(content))).sampling_rate == pytest.approx(500 / 1.001, abs=1e-9)


def test_an_interrupted_recording_is_not_joined_over_its_gaps(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "r.edf", plus=True))
    content[192:197] = b"EDF+D"
    for second, moved in ((3, 8), (4, 9)):  # the fourth and fifth record lie elsewhere in time
        at = content.index(b"+%d\x14\x14" % second, 256 * 14)
        content[at : at + 2] = b"+%d" % moved
    recording = decode(as_file(bytes(content)))
    assert "GAPS_LEFT_OUT" in recording.remarks
    assert recording.samples == 2500
    np.testing.assert_allclose(recording.millivolts, heart()[:, 2500:] * 1e-3, atol=1e-9)


@pytest.mark.parametrize(
    ("at", "value"), [(236, b"99999999"), (252, b"9999"), (244, b"nonsense"), (256 + 216 * 12, b"99999999")]
)
def test_absurd_headers_are_refused(tmp_path: Path, at: int, value: bytes) -> None:
    content = bytearray(written(tmp_path / "r.edf"))
    content[at : at + len(value)] = value
    with pytest.raises(InvalidRequest):
        decode(as_file(bytes(content)))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="send it whole"):
        decode(as_file(written(tmp_path / "r.edf")[:-100]))


def test_annotations_alone_are_no_ecg(tmp_path: Path) -> None:
    content = written(tmp_path / "r.edf", plus=True)
    head = bytearray(content[:256] + bytes(256).replace(b"\0", b" "))
    fields = [(16, "EDF Annotations"), (80, ""), (8, ""), (8, "-1"), (8, "1"), (8, "-32768"), (8, "32767"), (80, ""),
              (8, "57"), (32, "")]  # fmt: skip
    head[256:] = b"".join(value.encode().ljust(width) for width, value in fields)
    head[184:192], head[252:256], head[236:244] = b"512     ", b"1   ", b"1       "
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(bytes(head) + b"+0\x14\x14\0".ljust(114, b"\0")))
    assert [v.reason for v in caught.value.violations] == ["NO_RHYTHM"]
