"""One ECG in many containers, each written by a tool that is not ours where there is one: one hash, one tensor."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom
import pyedflib
import pytest
from pydicom.data import get_testdata_file

from cardiomesh.ecg.leads import STANDARD_LEADS
from preprocessor.decoding import decode
from preprocessor.prepare import prepare
from tests.unit.preprocessor.decoding.test_carts import AECG
from tests.unit.preprocessor.decoding.writers import WRITERS
from tests.unit.preprocessor.recordings import as_file, as_signal, heart, wfdb, zipped

__all__ = ["as_dicom", "as_edf", "as_wfdb"]

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb 4.3 on pandas 3.1
Counts = npt.NDArray[np.int16]


def as_dicom(counts: Counts, step: float, _: Path) -> bytes:
    """By pydicom: the real cart's file that comes with it, holding ``counts`` of ``step`` µV at 500 Hz."""
    dataset: Any = pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    group = dataset.WaveformSequence[0]
    group.NumberOfWaveformSamples, group.SamplingFrequency = counts.shape[1], "500"
    group.WaveformData = counts.T.astype("<i2").tobytes()
    for channel in group.ChannelDefinitionSequence:
        channel.ChannelSensitivity = f"{step:g}"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def as_edf(counts: Counts, step: float, folder: Path) -> bytes:
    """By pyedflib."""
    path = folder / "r.edf"
    writer = pyedflib.EdfWriter(str(path), 12, file_type=pyedflib.FILETYPE_EDFPLUS)
    # EDF has eight characters for each limit, so that not every step has exact ones at ±32768.
    scale = {"dimension": "uV", "sample_frequency": 500, "physical_min": -10_000 * step,
             "physical_max": 10_000 * step, "digital_min": -10_000, "digital_max": 10_000}  # fmt: skip
    writer.setSignalHeaders([{"label": lead, **scale} for lead in STANDARD_LEADS])
    writer.writeSamples([row.astype(np.int32) for row in counts], digital=True)
    writer.close()
    return path.read_bytes()


def as_wfdb(counts: Counts, step: float, folder: Path) -> bytes:
    """By wfdb."""
    wfdb.wrsamp(
        "r", fs=500, units=["mV"] * 12, sig_name=list(STANDARD_LEADS), d_signal=counts.T.astype(np.int64),
        fmt=["16"] * 12, adc_gain=[1000 / step] * 12, baseline=[0] * 12, write_dir=str(folder),
    )  # fmt: skip
    return zipped({name: (folder / name).read_bytes() for name in ("r.hea", "r.dat")})


CONTAINERS: Final[Mapping[str, Callable[[Counts, float, Path], bytes]]] = {
    "dicom": as_dicom, "edf": as_edf, "wfdb": as_wfdb,
}  # fmt: skip


def test_one_ecg_has_one_hash_in_every_container(tmp_path: Path) -> None:
    counts = heart()
    files = {name: write(counts, 1.0, tmp_path) for name, write in CONTAINERS.items()}
    files["aecg"] = gzip.decompress(AECG.read_bytes())
    files |= {name: write(counts) for name, write in WRITERS.items() if name != "kardia"}  # six leads are another ECG
    made = {name: prepare(as_file(content)) for name, content in files.items()}
    assert made.keys() > {"dicom", "scp", "aecg", "edf", "wfdb"}
    reference = prepare(as_signal(counts))
    assert {m.signal_hash for m in made.values()} == {reference.signal_hash}
    assert {m.tensor_hash for m in made.values()} == {reference.tensor_hash}


@pytest.mark.parametrize("step", [1.25, 2.5, 4.88, 5.0])
def test_the_step_of_a_cart_does_not_change_the_hash(tmp_path: Path, step: float) -> None:
    counts = np.rint(heart() / step).astype(np.int16)
    made = {name: prepare(as_file(write(counts, step, tmp_path))).signal_hash for name, write in CONTAINERS.items()}
    assert len(set(made.values())) == 1


def test_a_real_ecg_in_five_containers_has_one_hash(data_dir: Path, tmp_path: Path) -> None:
    """HL7's own aECG and ECGToolkit's SCP of one recording; DICOM, EDF and WFDB of its counts by three libraries."""
    formats = data_dir / "formats"
    files = {
        "aecg": (formats / "HL7_AECG/hl7_Example_aECG.xml").read_bytes(),
        "scp": (formats / "SCP/ecgtoolkit_Example.scp").read_bytes(),
    }
    counts = np.rint(decode(as_file(files["aecg"])).millivolts / 2.5e-3).astype(np.int16)
    files |= {name: write(counts, 2.5, tmp_path) for name, write in CONTAINERS.items()}
    made = {name: prepare(as_file(content)) for name, content in files.items()}
    assert len(made) == 5
    assert len({m.signal_hash for m in made.values()}) == 1
    assert len({m.tensor_hash for m in made.values()}) == 1
