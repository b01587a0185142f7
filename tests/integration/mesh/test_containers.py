"""One ECG in containers of different steps, through the running mesh: the same findings within 1e-3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiomesh.client import Client
from preprocessor.decoding import decode
from tests.unit.preprocessor.decoding.test_containers import as_dicom, as_edf, as_wfdb
from tests.unit.preprocessor.recordings import as_file

pytestmark = [pytest.mark.mesh, pytest.mark.filterwarnings("ignore:The inplace keyword")]  # wfdb 4.3 on pandas 3.1
MODELS = ("edge_optimized", "hybrid_mobile", "ensemble")


@pytest.mark.parametrize("model", MODELS)
def test_containers_that_lose_something_give_the_same_findings(
    client: Client, ecg_file: Path, tmp_path: Path, model: str
) -> None:
    """The cart's 1.25 µV steps exactly, and rounded to the steps that EDF's, WFDB's and DICOM's writers choose."""
    millivolts = decode(as_file(ecg_file.read_bytes())).millivolts[:, ::2]
    steps = {"dicom 1.25": as_dicom, "edf 0.25": as_edf, "wfdb 0.4": as_wfdb, "dicom 1": as_dicom}
    answers = {}
    for name, write in steps.items():
        step = float(name.split()[1])
        content = write(np.rint(millivolts / (step * 1e-3)).astype(np.int16), step, tmp_path)
        answers[name] = client.analyze(file=content, model=model, bypass_cache=True).probabilities
    reference = answers["dicom 1.25"]
    assert all(found.keys() == reference.keys() for found in answers.values())
    off = {name: max(abs(found[code] - reference[code]) for code in found) for name, found in answers.items()}
    assert max(off.values()) < 1e-3, off
