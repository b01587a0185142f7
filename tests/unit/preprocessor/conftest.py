"""Real recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data of the developer's machine; skips where there is none."""
    path = Path(os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "ludb" / "1.hea").exists():
        pytest.skip("the real ECG data (CARDIOMESH_DATA) are not on this machine")
    return path


@pytest.fixture(scope="session")
def dicom_file() -> bytes:
    """The real 12-lead ECG that comes with pydicom."""
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes()
