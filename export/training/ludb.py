"""LUDB as an external test set: another hospital, device and country; never trained or calibrated on.

The WFDB headers of LUDB scale every lead to a range of one "millivolt", which hides all amplitudes. The stored
integers, however, obey Einthoven's law without any factor and have the amplitudes of other archives when read as
microvolts; ``calibrated=True`` reads them so. Both readings are reported, because a caller who trusts the header
sends the scaled one.

Kalyakulina et al., LUDB, IEEE Access 8:186181 (2020), ODC-By 1.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cardiomesh.ecg.conditioning import WINDOW_SAMPLES, condition
from cardiomesh.ecg.leads import STANDARD_LEADS, normalise_lead
from export.errors import DataError
from export.training.labels import SUPERCLASSES
from export.training.ptbxl import import_wfdb

__all__ = ["load_ludb", "read_record"]

_SOURCE_RATE_HZ = 500.0


def read_record(root: Path, number: int, calibrated: bool) -> np.ndarray:
    """One recording float64 [12, n] in millivolts, standard lead order; ``calibrated`` reads integers as microvolts."""
    wfdb = import_wfdb()
    places = [p for p in (root / "data" / str(number), root / str(number)) if p.with_suffix(".hea").is_file()]
    if not places:
        raise DataError(f"{root} holds no record {number}")
    record = wfdb.rdrecord(str(places[0]), physical=not calibrated)
    order = [normalise_lead(name) for name in record.sig_name]
    rows = [order.index(lead) for lead in STANDARD_LEADS]
    if not calibrated:
        return np.asarray(record.p_signal, dtype=np.float64).T[rows]
    counts = np.asarray(record.d_signal, dtype=np.float64) - np.asarray(record.baseline, dtype=np.float64)
    return counts.T[rows] / 1000.0


def load_ludb(folder: Path, calibrated: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals float32 [N, 12, 1000], superclass truth [N, 5], and ids; needs ``ludb_superclass.csv``."""
    root = folder / "ludb" if (folder / "ludb").is_dir() else folder
    labels = root / "ludb_superclass.csv"
    if not labels.is_file():
        raise DataError(f"{root} holds no ludb_superclass.csv")
    table = pd.read_csv(labels)
    signals = [
        condition(read_record(root, number, calibrated), _SOURCE_RATE_HZ)[:, :WINDOW_SAMPLES] for number in table["ID"]
    ]
    truth = [[code in str(present).split(";") for code in SUPERCLASSES] for present in table["superclass"]]
    return np.stack(signals), np.array(truth, dtype=np.float32), table["ID"].to_numpy()
