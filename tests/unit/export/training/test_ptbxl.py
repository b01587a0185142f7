"""Both layouts of PTB-XL, written here with synthetic signals."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.leads import STANDARD_LEADS
from export.errors import DataError
from export.training.ptbxl import default_data_folder, load_ptbxl, read_microvolts


def _microvolts(count: int) -> np.ndarray:
    random = np.random.default_rng(9)
    x = np.cumsum(random.integers(-20, 21, (count, 12, 5000)), axis=2).astype(np.int16)
    one, two = x[:, 0].astype(np.int32), x[:, 1].astype(np.int32)
    x[:, 2] = two - one
    return x


def _tables(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    pd.DataFrame(
        {
            "ecg_id": range(1, count + 1),
            "patient_id": range(count),
            "age": [50, 300, 60][:count],
            "sex": [0, 1, 0][:count],
            "strat_fold": [1, 1, 9][:count],
            "scp_codes": ["{'NORM': 100.0, 'SR': 0.0}"] * count,
            "filename_hr": [f"records500/00000/{k:05d}_hr" for k in range(1, count + 1)],
            "filename_lr": [f"records100/00000/{k:05d}_lr" for k in range(1, count + 1)],
        }
    ).to_csv(folder / "ptbxl_database.csv", index=False)
    pd.DataFrame({"diagnostic": [1], "form": [0], "rhythm": [0], "diagnostic_class": ["NORM"]}, index=["NORM"]).to_csv(
        folder / "scp_statements.csv"
    )


def _packed(folder: Path, signals: np.ndarray) -> None:
    x = signals.astype(np.int32)
    one, two = x[:, 0], x[:, 1]
    derived = np.stack([two - one, -((one + two) // 2), (2 * one - two) // 2, (2 * two - one) // 2], axis=1)
    independent = np.diff(x[:, [0, 1, 6, 7, 8, 9, 10, 11]], axis=2, prepend=0)
    packed = np.concatenate([independent, x[:, 2:6] - derived], axis=1).astype("<i2")
    (folder / "signals-00.xz").write_bytes(lzma.compress(packed[:2].tobytes()))
    (folder / "signals-01.xz").write_bytes(lzma.compress(packed[2:].tobytes()))


def test_packed_subset(tmp_path: Path) -> None:
    signals = _microvolts(3)
    _tables(tmp_path / "ptbxl", 3)
    _packed(tmp_path / "ptbxl", signals)
    records = load_ptbxl(tmp_path, cache=tmp_path / "cache", progress=False)
    assert len(records) == 3
    for k in range(3):
        np.testing.assert_array_equal(records.signals[k], condition(signals[k] / 1000.0, 500.0))
    assert records.table["age"].tolist() == [50, 90, 60]
    again = load_ptbxl(tmp_path, cache=tmp_path / "cache", progress=False)
    assert again.digest() == records.digest()


def _downloaded(folder: Path, signals: np.ndarray, rate: int) -> None:
    """The WFDB files of one rate, as PhysioNet lays them out and as the data set's own headers are written."""
    place = folder / f"records{rate}" / "00000"
    place.mkdir(parents=True)
    for k, record in enumerate(signals):
        name = f"{k + 1:05d}_{'hr' if rate == 500 else 'lr'}"
        rows = [f"{name}.dat 16 1000.0(0)/mV 16 0 0 0 0 {lead.upper()}" for lead in STANDARD_LEADS]
        (place / f"{name}.hea").write_text("\n".join([f"{name} 12 {rate} {record.shape[1]}", *rows, ""]))
        (place / f"{name}.dat").write_bytes(np.ascontiguousarray(record.T).astype("<i2").tobytes())


def test_folder_as_downloaded_from_physionet(tmp_path: Path) -> None:
    """Both rates lie in it; the higher one is read. A folder that keeps only the lower one will do."""
    signals = _microvolts(2)
    _tables(tmp_path / "full", 2)
    _downloaded(tmp_path / "full", signals[:, :, ::5], 100)
    low = load_ptbxl(tmp_path / "full", cache=tmp_path / "cache", progress=False)
    np.testing.assert_allclose(low.signals[1], condition(signals[1, :, ::5] / 1000.0, 100.0), atol=1e-6)
    _downloaded(tmp_path / "full", signals, 500)
    records = load_ptbxl(tmp_path / "full", cache=tmp_path / "cache", progress=False)
    np.testing.assert_allclose(records.signals[1], condition(signals[1] / 1000.0, 500.0), atol=1e-6)


def test_a_record_that_cannot_be_read_is_named_and_leaves_no_cache(tmp_path: Path) -> None:
    _tables(tmp_path / "full", 2)
    _downloaded(tmp_path / "full", _microvolts(1), 500)
    with pytest.raises(DataError, match=r"00002_hr cannot be read: .*00002_hr"):
        load_ptbxl(tmp_path / "full", cache=tmp_path / "cache", progress=False)
    (tmp_path / "full" / "records500" / "00000" / "00001_hr.dat").write_bytes(b"\0" * 1200)
    with pytest.raises(DataError, match="00001_hr"):
        load_ptbxl(tmp_path / "full", cache=tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_fold_that_is_not_there_is_named(tmp_path: Path) -> None:
    _tables(tmp_path / "ptbxl", 3)
    _packed(tmp_path / "ptbxl", _microvolts(3))
    records = load_ptbxl(tmp_path, cache=tmp_path / "cache", progress=False)
    assert len(records.select((9,))) == 1
    with pytest.raises(DataError, match="fold 10"):
        records.select((9, 10))


def test_fewer_signals_than_rows_leave_no_cache(tmp_path: Path) -> None:
    _tables(tmp_path / "ptbxl", 3)
    _packed(tmp_path / "ptbxl", _microvolts(3))
    (tmp_path / "ptbxl" / "signals-01.xz").unlink()
    with pytest.raises(DataError, match="lists 3 records but holds 2"):
        load_ptbxl(tmp_path, cache=tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_without_the_table_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no ptbxl_database\.csv"):
        load_ptbxl(tmp_path, progress=False)


def test_the_setting_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDIOMESH_DATA", str(tmp_path))
    assert default_data_folder() == tmp_path


def test_recordings_as_they_were_stored_in_either_layout(tmp_path: Path) -> None:
    signals = _microvolts(3)
    _tables(tmp_path / "ptbxl", 3)
    _packed(tmp_path / "ptbxl", signals)
    records = load_ptbxl(tmp_path, cache=tmp_path / "cache", progress=False, folds=(9,))
    assert records.table["ecg_id"].tolist() == [3]
    np.testing.assert_array_equal(read_microvolts(tmp_path, records.table), signals[2:])
    with pytest.raises(DataError, match=r"fold 10 has no records in PTB-XL \(3 records\); it has folds 1, 9"):
        load_ptbxl(tmp_path, cache=tmp_path / "cache", progress=False, folds=(10,))


def test_only_the_wanted_folds_of_a_downloaded_folder_are_read(tmp_path: Path) -> None:
    signals = _microvolts(3)
    _tables(tmp_path / "full", 3)
    place = tmp_path / "full" / "records500" / "00000"
    place.mkdir(parents=True)
    name = "00003_hr"  # the two recordings of fold 1 are not even there
    rows = [f"{name}.dat 16 1000.0(0)/mV 16 0 0 0 0 {lead.upper()}" for lead in STANDARD_LEADS]
    (place / f"{name}.hea").write_text("\n".join([f"{name} 12 500 5000", *rows, ""]))
    (place / f"{name}.dat").write_bytes(np.ascontiguousarray(signals[2].T).astype("<i2").tobytes())
    records = load_ptbxl(tmp_path / "full", cache=tmp_path / "cache", progress=False, folds=(9,))
    assert records.table["ecg_id"].tolist() == [3]
    np.testing.assert_array_equal(read_microvolts(tmp_path / "full", records.table), signals[2:])
