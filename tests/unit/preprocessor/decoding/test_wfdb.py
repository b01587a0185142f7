"""WFDB records: against the wfdb package, on real and on written ones."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from tests.unit.preprocessor.recordings import as_file, heart, wfdb, zipped

NAMES = list(STANDARD_LEADS)
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb 4.3 on pandas 3.1


def written(folder: Path, fmt: str = "16", **changes: str) -> dict[str, bytes]:
    """The synthetic heart as the wfdb package writes it; ``changes`` replace text in the header."""
    counts = heart().T.astype(np.int64)
    if fmt in ("80", "212"):
        counts = counts // 32
    wfdb.wrsamp(
        "r", fs=500, units=["uV"] * 12, sig_name=NAMES, d_signal=counts, fmt=[fmt] * 12, adc_gain=[1.0] * 12,
        baseline=[0] * 12, write_dir=str(folder),
    )  # fmt: skip
    header = (folder / "r.hea").read_text()
    for old, new in changes.items():
        header = header.replace(old, new)
    return {"r.hea": header.encode(), "r.dat": (folder / "r.dat").read_bytes()}


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
def test_sample_formats_are_read_as_wfdb_reads_them(tmp_path: Path, fmt: str) -> None:
    files = written(tmp_path, fmt)
    recording = decode(as_file(zipped(files)))
    reference = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T * 1e-3
    np.testing.assert_allclose(recording.millivolts, reference, atol=1e-12)
    assert recording.leads == STANDARD_LEADS
    assert recording.remarks == ()


@pytest.mark.parametrize(("fmt", "dtype", "offset"), [("61", ">i2", 0), ("160", "<u2", 32768)])
def test_formats_that_wfdb_does_not_write(tmp_path: Path, fmt: str, dtype: str, offset: int) -> None:
    files = written(tmp_path)
    header = files["r.hea"].replace(b"r.dat 16 ", f"r.dat {fmt} ".encode())
    packed = (heart().T.astype(np.int64) + offset).astype(dtype).tobytes()
    recording = decode(as_file(zipped({"r.hea": header, "r.dat": packed})))
    np.testing.assert_allclose(recording.millivolts, heart() * 1e-3, atol=1e-12)


@pytest.mark.parametrize("fmt", ["310", "311"])
def test_ten_bit_formats_are_read_as_wfdb_reads_them(tmp_path: Path, fmt: str) -> None:
    counts = (heart().T.astype(np.int64) // 8).clip(-500, 500)[:5000]
    first, second, third = (counts.reshape(-1, 3)[:, k] & 0x3FF for k in range(3))
    if fmt == "310":
        low = first << 1 | (third & 0x1F) << 11
        words = np.stack([low, second << 1 | (third >> 5) << 11], axis=1).astype("<u2")
    else:
        words = (first | second << 10 | third << 20).astype("<u4")
    header = written(tmp_path)["r.hea"].replace(b"r.dat 16 ", f"r.dat {fmt} ".encode())
    header = b"\n".join(re.sub(rb" -?\d+ -?\d+ 0 (?=\S+$)", rb" 0 0 0 ", line) for line in header.splitlines())
    (tmp_path / "r.hea").write_bytes(header)
    (tmp_path / "r.dat").write_bytes(words.tobytes())
    reference = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T * 1e-3
    recording = decode(as_file(zipped({"r.hea": header, "r.dat": words.tobytes()})))
    np.testing.assert_allclose(recording.millivolts, reference, atol=1e-12)
    np.testing.assert_allclose(recording.millivolts, counts.T * 1e-3, atol=1e-12)


def test_skew_is_taken_out_as_wfdb_takes_it_out(tmp_path: Path) -> None:
    files = written(tmp_path)
    lines = files["r.hea"].decode().splitlines()
    lines[3] = lines[3].replace("r.dat 16 ", "r.dat 16:7 ")
    header = "\n".join(lines).encode()
    (tmp_path / "r.hea").write_bytes(header)
    reference = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T * 1e-3
    recording = decode(as_file(zipped({**files, "r.hea": header})))
    assert recording.samples == 4993
    np.testing.assert_allclose(recording.millivolts, reference[:, :4993], atol=1e-12)


def test_gain_baseline_and_default_gain(tmp_path: Path) -> None:
    files = written(tmp_path)
    header = files["r.hea"].decode().replace("1.0(0)/uV", "2.0(100)/uV")
    recording = decode(as_file(zipped({**files, "r.hea": header.encode()})))
    np.testing.assert_allclose(recording.millivolts, (heart() - 100) / 2000, atol=1e-12)
    header = files["r.hea"].decode().replace("1.0(0)/uV", "0")
    recording = decode(as_file(zipped({**files, "r.hea": header.encode()})))
    np.testing.assert_allclose(recording.millivolts, heart() / 200, atol=1e-12)


def test_one_signal_file_per_lead() -> None:
    counts = heart()
    lines = [f"r {len(NAMES)} 500 {counts.shape[1]}"]
    lines += [f"{lead}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in NAMES]
    files = {f"{lead}.dat": row.astype("<i2").tobytes() for lead, row in zip(NAMES, counts, strict=True)}
    recording = decode(as_file(zipped({"r.hea": "\n".join(lines).encode(), **files})))
    np.testing.assert_allclose(recording.millivolts, counts * 1e-3, atol=1e-12)


def test_comments_give_age_and_sex_and_nothing_else(tmp_path: Path) -> None:
    files = written(tmp_path)
    files["r.hea"] += b"# <age>: 93  <sex>: F\n# name: Maria Silva\n"
    recording = decode(as_file(zipped(files)))
    assert (recording.patient.age_years, recording.patient.sex) == (89, "female")
    assert "Maria" not in repr(recording)


def test_a_wrong_checksum_is_remarked_and_zero_is_none(tmp_path: Path) -> None:
    files = written(tmp_path)
    lines = files["r.hea"].decode().splitlines()
    parts = lines[1].split()
    parts[6] = str(int(parts[6]) + 1)
    wrong = "\n".join([lines[0], " ".join(parts), *lines[2:]]).encode()
    assert decode(as_file(zipped({**files, "r.hea": wrong}))).remarks == ("CHECKSUM_MISMATCH",)
    parts[6] = "0"
    none = "\n".join([lines[0], " ".join(parts), *lines[2:]]).encode()
    assert decode(as_file(zipped({**files, "r.hea": none}))).remarks == ()


def test_invalid_samples_become_missing_ones(tmp_path: Path) -> None:
    files = written(tmp_path)
    counts = heart().T.copy()
    counts[1000, 4] = -32768
    recording = decode(as_file(zipped({**files, "r.dat": counts.astype("<i2").tobytes()})))
    assert np.argwhere(np.isnan(recording.millivolts)).tolist() == [[4, 1000]]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\r.dat", "other.dat"])
def test_a_header_cannot_reach_outside_the_zip(tmp_path: Path, name: str) -> None:
    files = written(tmp_path)
    header = files["r.hea"].decode().replace("r.dat", name).encode()
    zip_file = zipped({"r.hea": header, "s.dat": files["r.dat"]})
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(zip_file))
    assert [v.reason for v in caught.value.violations] == ["MISSING_SIGNAL_FILE"]


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.hea", "r 1 500 5000\nr.dat 16\n")
        archive.writestr("r.dat", bytes(80 * 1024 * 1024))
    return buffer.getvalue()


def test_a_zip_bomb_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="64 MiB"):
        decode(as_file(bomb()))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "MALFORMED"),
        ("r", "MALFORMED"),
        ("r 0 500 10\n", "MALFORMED"),
        ("r 1000000 500 10\n", "MALFORMED"),
        ("r x 500 10\n", "MALFORMED"),
        ("r 2 500 10\nr.dat 16\n", "TRUNCATED"),
        ("r 1 five 10\nr.dat 16\n", "MALFORMED"),
        ("r 1 500 1000000000\nr.dat 16\n", "TRUNCATED"),
        ("r 1 500 -5\nr.dat 16\n", "TRUNCATED"),
        ("r/3 1 500 10\nr.dat 16\n", "UNSUPPORTED"),
        ("r 1 500 10\nr.dat 508\n", "UNSUPPORTED"),
        ("r 1 500 1000\nr.dat 310\n", "TRUNCATED"),
        ("r 1 500 10\nr.dat 16:12\n", "MALFORMED"),
        ("r 1 500 10\nr.dat 16x2\n", "UNSUPPORTED"),
        ("r 1 500 10\nr.dat 16 -200/mV\n", "BAD_SCALE"),
        ("r 1 500 10\nr.dat 16 nonsense/mV\n", "MALFORMED"),
        ("r 1 500 10\nr.dat\n", "MALFORMED"),
    ],
)
def test_absurd_headers_are_refused(header: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(zipped({"r.hea": header.encode(), "r.dat": bytes(1000)})))
    assert [v.reason for v in caught.value.violations] == [reason]


def test_a_header_alone_says_what_to_send(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="zip"):
        decode(as_file(written(tmp_path)["r.hea"]))


def test_what_else_lies_in_the_zip_is_no_part_of_the_record(tmp_path: Path) -> None:
    files = written(tmp_path)
    zip_file = zipped({f"r/{name}": data for name, data in files.items()} | {
        "__MACOSX/r/._r.hea": b"\0\5\x16\7", "r/._r.dat": b"\0", "r/README.txt": b"hello", "r/r.atr": b"\0\0",
    })  # fmt: skip
    assert decode(as_file(zip_file)).leads == STANDARD_LEADS


def test_two_records_are_refused(tmp_path: Path) -> None:
    files = written(tmp_path)
    with pytest.raises(InvalidRequest, match="one record"):
        decode(as_file(zipped({**files, "s.hea": files["r.hea"]})))


def test_every_real_ludb_record_is_read_as_wfdb_reads_it(data_dir: Path) -> None:
    for number in range(1, 101):
        base = data_dir / "ludb" / str(number)
        files = {path.name: path.read_bytes() for path in (base.with_suffix(".hea"), base.with_suffix(".dat"))}
        recording = decode(as_file(zipped(files)))
        np.testing.assert_allclose(recording.millivolts, wfdb.rdrecord(str(base)).p_signal.T, atol=1e-12)
        assert recording.patient.age_years is not None
        assert recording.remarks == ()


def test_a_single_lead_mat_file_is_read_but_is_no_twelve_lead_ecg(data_dir: Path) -> None:
    folder = data_dir / "formats" / "WFDB"
    recording = decode(as_file(zipped({p.name: p.read_bytes() for p in folder.iterdir()})))
    assert recording.leads == ()
    assert recording.ignored_leads == ("ECG",)
    extra = recording.extra[0].millivolts
    assert extra is not None
    assert extra.shape == (9000,)
    assert recording.sampling_rate == 300
    assert (extra.min(), extra.max()) == (pytest.approx(-0.754, abs=5e-4), pytest.approx(0.946, abs=5e-4))
