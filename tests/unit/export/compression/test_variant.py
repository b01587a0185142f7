from __future__ import annotations

from dataclasses import replace

import pytest

from export.compression.parity import Parity
from export.compression.variant import require_parity
from export.errors import GateError
from export.validation.metrics import Interval

GOOD = Parity(333, 11988, 0.2, 0.003, 61, 0.0051, "STTC", 5, Interval(0.0006, -0.0011, 0.0025))


def test_a_variant_that_decides_as_its_parent_may_be_published() -> None:
    require_parity(GOOD, "m_int8")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (replace(GOOD, flip_share=0.0101), r"1\.01% of the decisions flip; 1% is allowed"),
        (replace(GOOD, flip_share=float("nan")), "decisions flip"),
        (replace(GOOD, auc_change=Interval(-0.0031, -0.005, 0.0)), r"falls by 0\.0031"),
        (replace(GOOD, auc_change=Interval(float("nan"), 0.0, 0.0)), "macro-AUC"),
    ],
)
def test_one_that_does_not_is_refused(found: Parity, reason: str) -> None:
    with pytest.raises(GateError, match=reason):
        require_parity(found, "m_int8")
