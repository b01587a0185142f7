"""LUDB as an external test set: another hospital, device and country; never trained or calibrated on.

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

__all__ = ["load_ludb"]


def load_ludb(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals float32 [N, 12, 1000], superclass truth [N, 5], and ids; needs ``ludb_superclass.csv``."""
    import wfdb

    root = folder / "ludb" if (folder / "ludb").is_dir() else folder
    labels = root / "ludb_superclass.csv"
    if not labels.is_file():
        raise DataError(f"{root} holds no ludb_superclass.csv")
    table = pd.read_csv(labels)
    signals, truth, ids = [], [], []
    for number, present in zip(table["ID"], table["superclass"], strict=True):
        record = wfdb.rdrecord(str(next(p for p in (root / "data" / str(number), root / str(number)) if p.with_suffix(".hea").is_file())))
        order = [normalise_lead(name) for name in record.sig_name]
        rows = [order.index(lead) for lead in STANDARD_LEADS]
        signal = condition(np.asarray(record.p_signal, dtype=np.float64).T[rows], float(record.fs))
        signals.append(signal[:, :WINDOW_SAMPLES])
        codes = set(str(present).split(";"))
        truth.append([code in codes for code in SUPERCLASSES])
        ids.append(number)
    return np.stack(signals), np.array(truth, dtype=np.float32), np.array(ids)
