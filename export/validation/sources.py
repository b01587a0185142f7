"""The recordings a model is evaluated on: folds of PTB-XL, or LUDB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as cache_once
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cardiomesh.cards import ModelCard
from export.calibration.heads import card_space
from export.errors import DataError
from export.training.labels import targets
from export.training.ludb import load_ludb
from export.training.ptbxl import Records, default_data_folder, load_ptbxl, read_microvolts

__all__ = ["Source", "ludb_source", "ptbxl_source", "records_source"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Source:
    """Recordings, a function from a card to the truth per head [N, classes], and what else is known."""

    label: str
    signals: npt.NDArray[np.float32]
    truth: Callable[[ModelCard], dict[str, Array]]
    patients: Array
    folds: tuple[int, ...] = ()
    #: Sex, age, device and noise notes, for the subgroups.
    table: pd.DataFrame | None = None
    #: The recordings as stored, int16 [N, 12, 5000], for the robustness conditions.
    microvolts: Callable[[], npt.NDArray[np.int16]] | None = None

    def calibrated_on(self, card: ModelCard) -> int | None:
        """Number of training records where the card was calibrated on these very folds: then judge by cross-fitting."""
        if self.folds and set(self.folds) <= set(card.data.calibration_folds):
            return card.data.training_records
        return None


def ptbxl_source(data: Path | None, folds: tuple[int, ...], cache: Path, progress: bool = True) -> Source:
    """Some folds of PTB-XL in either layout."""
    records = load_ptbxl(data, cache, progress, folds)
    return records_source(records, folds, cache_once(lambda: read_microvolts(data, records.table)))


def records_source(
    records: Records, folds: tuple[int, ...], microvolts: Callable[[], npt.NDArray[np.int16]] | None = None
) -> Source:
    """Records that are already at hand."""

    def truth(card: ModelCard) -> dict[str, Array]:
        found = targets(records, card_space(card))
        return {head.output: found[head.output] for head in card.heads}

    return Source(
        f"PTB-XL fold {', '.join(map(str, folds))} ({len(records)} records)",
        np.array(records.signals),
        truth,
        records.table["patient_id"].to_numpy(),
        folds,
        records.table,
        microvolts,
    )


def ludb_source(data: Path | None, calibrated: bool) -> Source:
    """LUDB, superclasses only."""
    folder = data or default_data_folder()
    if folder is None:
        raise DataError("no folder was given: use --data or CARDIOMESH_DATA")
    signals, superclasses, ids = load_ludb(folder, calibrated)
    reading = "integers as microvolts" if calibrated else "as its headers scale it"
    return Source(
        f"LUDB ({len(ids)} records, {reading})", signals, lambda card: {card.heads[0].output: superclasses}, ids
    )
