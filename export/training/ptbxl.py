"""PTB-XL as conditioned tensors: read once, cached, identical to what the preprocessor makes in service.

Two folder layouts are understood: the data set as downloaded from PhysioNet (``ptbxl_database.csv``,
``scp_statements.csv``, ``records500/…`` in WFDB, or ``records100/…`` where only that was kept) and a packed subset
(``signals-*.xz``: LZMA over the first differences of eight leads and the residuals of the four derived ones, int16
microvolts at 500 Hz).

Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, Scientific Data 7:154 (2020),
CC BY 4.0.
"""

from __future__ import annotations

import ast
import hashlib
import lzma
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION, WINDOW_SAMPLES, condition
from export.errors import DataError

__all__ = [
    "CITATION",
    "LICENCE",
    "Records",
    "default_data_folder",
    "import_wfdb",
    "load_ptbxl",
    "read_microvolts",
    "read_ptbxl",
]

CITATION: Final = (
    "Wagner P, Strodthoff N, Bousseljot R-D, Kreiseler D, Lunze FI, Samek W, Schaeffter T. PTB-XL, a large "
    "publicly available electrocardiography dataset. Scientific Data 7:154 (2020)."
)
LICENCE: Final = "CC BY 4.0"
DATA_VARIABLE: Final = "CARDIOMESH_DATA"
_PACKED_RATE_HZ: Final = 500.0
#: Millivolts [12, n] and samples a second.
Signal = tuple[npt.NDArray[np.float64], float]
_SOURCE_SAMPLES: Final = 5000
#: PTB-XL writes 300 for patients older than 89.
_AGE_OF_THE_OLDEST: Final = 90.0


@dataclass(frozen=True)
class Records:
    """Recordings and what is known about them, row by row."""

    #: float32 [N, 12, 1000], millivolts, conditioned.
    signals: npt.NDArray[np.float32]
    #: ecg_id, patient_id, age (years), sex (0 male, 1 female, as PTB-XL codes it), strat_fold, device, codes.
    table: pd.DataFrame
    #: The official statement table, indexed by SCP code.
    statements: pd.DataFrame
    name: str

    def select(self, folds: tuple[int, ...]) -> Records:
        """The records of some folds; a fold without records is an error."""
        _check_folds(self.table, folds, self.name)
        keep = self.table["strat_fold"].isin(folds).to_numpy()
        return Records(self.signals[keep], self.table[keep].reset_index(drop=True), self.statements, self.name)

    def __len__(self) -> int:
        return len(self.table)

    def digest(self) -> str:
        """SHA-256 over the sorted (record id, fold, statement codes) table."""
        rows = sorted(
            f"{int(i)}|{int(f)}|{','.join(sorted(c))}"
            for i, f, c in zip(self.table["ecg_id"], self.table["strat_fold"], self.table["codes"], strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _check_folds(table: pd.DataFrame, folds: tuple[int, ...], name: str) -> None:
    present = sorted({int(fold) for fold in table["strat_fold"]})
    for fold in folds:
        if fold not in present:
            raise DataError(f"fold {fold} has no records in {name}; it has folds {', '.join(map(str, present))}")


def default_data_folder() -> Path | None:
    """``CARDIOMESH_DATA``, or ``../shared/data`` where that exists, or nothing."""
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return beside if beside.is_dir() else None


def _locate(folder: Path) -> Path:
    for candidate in (folder, folder / "ptbxl"):
        if (candidate / "ptbxl_database.csv").is_file():
            return candidate
    raise DataError(
        f"{folder} holds no ptbxl_database.csv; give the folder of PTB-XL with --data or {DATA_VARIABLE} "
        "(https://physionet.org/content/ptb-xl/)"
    )


def _unpack(blob: bytes) -> npt.NDArray[np.int16]:
    """One packed file → int16 [N, 12, 5000] in microvolts; sums wrap exactly as the encoder's did."""
    packed = np.frombuffer(lzma.decompress(blob), "<i2").reshape(-1, 12, _SOURCE_SAMPLES)
    independent = np.cumsum(packed[:, :8], axis=2, dtype=np.int16)
    one, two = (independent[:, k].astype(np.int32) for k in (0, 1))
    derived = np.stack([two - one, -((one + two) // 2), (2 * one - two) // 2, (2 * two - one) // 2], axis=1)
    limb = (packed[:, 8:] + derived).astype(np.int16)
    return np.concatenate([independent[:, :2], limb, independent[:, 2:]], axis=1)


def _read_packed(folder: Path) -> Iterator[Signal]:
    for path in sorted(folder.glob("signals-*.xz")):
        for record in _unpack(path.read_bytes()):
            yield record / 1000.0, _PACKED_RATE_HZ


def import_wfdb() -> Any:
    """The wfdb package; its use of pandas warns of deprecations that are not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb
    return wfdb


def _read_wfdb(folder: Path, names: list[str]) -> Iterator[Signal]:
    wfdb = import_wfdb()
    for name in names:
        try:
            record = wfdb.rdrecord(str(folder / name))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name} cannot be read: {' '.join(str(error).split())}") from error
        millivolts = np.asarray(record.p_signal, dtype=np.float64).T
        if millivolts.shape[0] != 12 or not np.isfinite(millivolts).all():
            raise DataError(f"{folder / name} is not twelve leads of finite samples")
        yield millivolts, float(record.fs)


def _layout(root: Path, columns: pd.Index) -> str:
    """Where the signals of a folder are: "packed", or the name of the column that holds their paths."""
    if any(root.glob("signals-*.xz")):
        return "packed"
    for folder, column in (("records500", "filename_hr"), ("records100", "filename_lr")):
        if (root / folder).is_dir() and column in columns:
            return column
    raise DataError(f"{root} has neither records500/ nor records100/ nor signals-*.xz")


def _table(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "ptbxl_database.csv")
    missing = {"ecg_id", "patient_id", "age", "sex", "strat_fold", "scp_codes"} - set(table.columns)
    if missing:
        raise DataError(f"{folder / 'ptbxl_database.csv'} lacks the columns {', '.join(sorted(missing))}")
    table["codes"] = [tuple(sorted(ast.literal_eval(codes))) for codes in table["scp_codes"]]
    table["age"] = table["age"].where(table["age"] < _AGE_OF_THE_OLDEST + 10, _AGE_OF_THE_OLDEST)
    return table


def read_ptbxl(folder: Path) -> tuple[pd.DataFrame, Iterator[Signal]]:
    """The table of a PTB-XL folder and its recordings as they are, row by row: [12, n] mV and their rate."""
    root = _locate(folder)
    table = _table(root)
    return table, _read(root, table)


def _read(root: Path, table: pd.DataFrame) -> Iterator[Signal]:
    """The recordings of ``table``; of a packed folder always all."""
    layout = _layout(root, table.columns)
    return _read_packed(root) if layout == "packed" else _read_wfdb(root, list(table[layout]))


def _root(folder: Path | None) -> Path:
    given = folder or default_data_folder()
    if given is None:
        raise DataError(f"no PTB-XL folder was given: use --data or {DATA_VARIABLE}")
    return _locate(given)


def read_microvolts(folder: Path | None, wanted: pd.DataFrame) -> npt.NDArray[np.int16]:
    """The recordings of some rows of a table as they were stored: int16 [N, 12, 5000] at 500 Hz."""
    root, wished = _root(folder), set(wanted["ecg_id"])
    table = _table(root)
    packed = _layout(root, table.columns) == "packed"
    rows = table if packed else table[table["ecg_id"].isin(wished)]
    found = []
    for number, (millivolts, rate) in zip(rows["ecg_id"], _read(root, rows), strict=True):
        if rate != _PACKED_RATE_HZ:
            raise DataError(f"{root} holds only the 100 Hz files; the recordings as stored are in records500/")
        if not packed or number in wished:
            found.append(np.round(1000.0 * millivolts).astype(np.int16))
    return np.stack(found)


def load_ptbxl(
    folder: Path | None = None,
    cache: Path = Path("runs/cache"),
    progress: bool = True,
    folds: tuple[int, ...] | None = None,
) -> Records:
    """The records of a PTB-XL folder, or of some of its folds, conditioned; the second call reads the cache."""
    root = _root(folder)
    table = _table(root)
    official = root / "scp_statements.csv"
    if not official.is_file():
        raise DataError(f"{root} holds no scp_statements.csv")
    statements = pd.read_csv(official, index_col=0)
    layout = _layout(root, table.columns)
    name = f"PTB-XL ({len(table)} records)"
    if folds is not None:
        _check_folds(table, folds, name)
        if layout != "packed":  # a packed folder is read from its beginning to its end in any case
            table = table[table["strat_fold"].isin(folds)].reset_index(drop=True)
    key = hashlib.sha256(
        f"{PREPROCESSING_VERSION}|{layout == 'packed'}|{','.join(map(str, table['ecg_id']))}".encode()
    ).hexdigest()[:16]
    path = cache / f"ptbxl-{key}{'-100hz' if layout == 'filename_lr' else ''}.npy"
    if not path.is_file():
        source = _read(root, table)
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        signals: Any = np.lib.format.open_memmap(
            part, mode="w+", dtype=np.float32, shape=(len(table), 12, WINDOW_SAMPLES)
        )
        try:
            count = 0
            for count, (millivolts, rate) in enumerate(  # the count is the point
                tqdm(source, total=len(table), desc="condition", disable=not progress), start=1
            ):
                signals[count - 1] = condition(millivolts, rate)
            if count != len(table):
                raise DataError(f"{root} lists {len(table)} records but holds {count} signals")
            signals.flush()
        except BaseException:
            part.unlink()
            raise
        part.replace(path)
    records = Records(np.load(path, mmap_mode="r"), table, statements, name)
    return records if folds is None else records.select(folds)
