"""From SCP codes to the target matrix of each head."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from export.errors import DataError
from export.training.ptbxl import Records

__all__ = ["MINIMUM_POSITIVES", "SUPERCLASSES", "LabelSpace", "build_label_space", "targets"]

SUPERCLASSES: Final = ("NORM", "MI", "STTC", "CD", "HYP")
#: A statement is served only where at least this many training recordings carry it.
MINIMUM_POSITIVES: Final = 25
#: Rarer statements still teach the features, as an auxiliary task that is never served.
_MINIMUM_AUXILIARY: Final = 8


@dataclass(frozen=True)
class LabelSpace:
    """Classes of each head, in logit order, and their positive training recordings."""

    heads: dict[str, tuple[str, ...]]
    auxiliary: dict[str, tuple[str, ...]]
    positives: dict[str, int]

    def sizes(self) -> tuple[dict[str, int], dict[str, int]]:
        """Number of logits of each served and each auxiliary head."""
        return (
            {name: len(codes) for name, codes in self.heads.items()},
            {name: len(codes) for name, codes in self.auxiliary.items()},
        )


def _expanded(records: Records) -> list[frozenset[str]]:
    """Each record's codes together with the superclasses they belong to.

    As in the PTB-XL benchmark (Strodthoff et al., IEEE JBHI 2021) a listed code counts whatever its likelihood.
    """
    superclass = records.statements["diagnostic_class"].dropna().to_dict()
    return [
        frozenset(codes) | frozenset(superclass[c] for c in codes if c in superclass)
        for codes in records.table["codes"]
    ]


def build_label_space(training: Records) -> LabelSpace:
    """Superclasses, then every frequent diagnostic or form statement; the frequent rhythms; the rare rest."""
    counts = Counter(code for codes in _expanded(training) for code in codes)
    missing = [code for code in SUPERCLASSES if counts[code] == 0]
    if missing:
        raise DataError(f"no training recording carries {', '.join(missing)}")
    table = training.statements
    ranked = [code for code, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    known = [code for code in ranked if code in table.index and code not in SUPERCLASSES]

    def of(columns: tuple[str, ...], low: int, high: int | None = None) -> tuple[str, ...]:
        return tuple(
            code
            for code in known
            if (table.loc[code, list(columns)] == 1).any()
            and counts[code] >= low
            and (high is None or counts[code] < high)
        )

    statements = SUPERCLASSES + of(("diagnostic", "form"), MINIMUM_POSITIVES)
    rhythm = of(("rhythm",), MINIMUM_POSITIVES)
    rare = of(("diagnostic", "form", "rhythm"), _MINIMUM_AUXILIARY, MINIMUM_POSITIVES)
    return LabelSpace(
        heads={"statements": statements, "rhythm": rhythm},
        auxiliary=({"rare": rare} if rare else {}) | {"sex": ("female",), "age": ("age",)},
        positives={code: counts[code] for code in (*statements, *rhythm)},
    )


def targets(records: Records, space: LabelSpace) -> dict[str, npt.NDArray[np.float32]]:
    """float32 [N, classes] for each head; NaN where age or sex is not known. Age is in units of (age - 60) / 20."""
    codes = _expanded(records)
    coded = space.heads | {name: space.auxiliary[name] for name in ("rare",) if name in space.auxiliary}
    result = {
        name: np.array([[c in present for c in classes] for present in codes], dtype=np.float32)
        for name, classes in coded.items()
    }
    sex = records.table["sex"].to_numpy(dtype=np.float32)
    age = records.table["age"].to_numpy(dtype=np.float32)
    result["sex"] = sex[:, None]
    result["age"] = ((age - 60.0) / 20.0)[:, None]
    return result
