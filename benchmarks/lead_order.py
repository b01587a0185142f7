"""How surely channels in the wrong order are found: real recordings as they are, then with their channels shuffled.

    python benchmarks/lead_order.py

Reads CARDIOMESH_DATA (default ../shared/data): PTB-XL, every second record, and LUDB as its headers scale it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.order import misnamed
from export.training.ludb import read_record
from export.training.ptbxl import default_data_folder, read_ptbxl


def shuffled(x: npt.NDArray[Any], first: int, random: np.random.Generator) -> npt.NDArray[Any]:
    """The recording with its first so many channels in another order; the limb leads do not all stay."""
    order = np.arange(len(x))
    while (order[:6] == np.arange(6)).all():
        order[:first] = random.permutation(first)
    return x[order]


def archives(folder: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Name of the archive and millivolts [12, n] of each record."""
    for number, (millivolts, _) in enumerate(read_ptbxl(folder)[1]):
        if number % 2 == 0:
            yield "PTB-XL", millivolts
    for number in range(1, 101):
        yield "LUDB, each lead scaled on its own", read_record(folder / "ludb", number, calibrated=False)


def main() -> None:
    """Count."""
    folder = default_data_folder()
    if folder is None:
        raise SystemExit("set CARDIOMESH_DATA")
    random = np.random.default_rng(0)
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for name, x in archives(folder):
        tried = (x, shuffled(x, 6, random), shuffled(x, 12, random))
        found = [misnamed(y, STANDARD_LEADS) is not None for y in tried]
        counts[name] = counts.get(name, np.zeros(4, np.int64)) + np.array([1, *found])
    for name, (records, false, limb, every) in counts.items():
        print(
            f"{name}: {records} records; refused as they are {false}, "
            f"limb leads shuffled {limb} ({limb / records:.1%}), all leads shuffled {every} ({every / records:.1%})"
        )


if __name__ == "__main__":
    main()
