from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads
from cardiomesh.ecg.order import misnamed
from cardiomesh.ecg.reversal import swaps


@pytest.fixture
def ecg() -> np.ndarray:
    """Twelve leads in millivolts whose limb leads obey Einthoven but for a microvolt of rounding."""
    random = np.random.default_rng(3)
    leads = dict(zip(INDEPENDENT_LEADS, random.normal(0, 1, (8, 2000)).cumsum(axis=1) / 50, strict=True))
    leads |= derive_limb_leads(leads)
    return np.round(np.stack([leads[lead] for lead in STANDARD_LEADS]), 3)


def test_right_names_pass(ecg: np.ndarray) -> None:
    assert misnamed(ecg, STANDARD_LEADS) is None


def test_every_other_order_of_the_limb_leads_is_named(ecg: np.ndarray) -> None:
    for order in permutations(range(6)):
        shuffled = ecg[[*order, *range(6, 12)]]
        expected = {STANDARD_LEADS[k]: STANDARD_LEADS[o] for k, o in enumerate(order) if k != o}
        assert misnamed(shuffled, STANDARD_LEADS) == (expected or None)


def test_limb_leads_are_found_among_all_twelve(ecg: np.ndarray) -> None:
    found = misnamed(ecg[::-1], STANDARD_LEADS)
    assert found == {"V6": "I", "V5": "II", "V4": "III", "V3": "aVR", "V2": "aVL", "V1": "aVF"}


def test_leads_scaled_one_by_one_are_not_accused(ecg: np.ndarray) -> None:
    assert misnamed(ecg * np.linspace(0.5, 2, 12)[:, None], STANDARD_LEADS) is None


def test_swapped_cables_keep_the_relations_and_are_not_found_here(ecg: np.ndarray) -> None:
    rows = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    leads = dict(zip(INDEPENDENT_LEADS, swaps()["RA and LA"] @ ecg[rows], strict=True))
    leads |= derive_limb_leads(leads)
    assert misnamed(np.stack([leads[lead] for lead in STANDARD_LEADS]), STANDARD_LEADS) is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_lines_without_a_heart_say_nothing(value: float) -> None:
    assert misnamed(np.full((12, 100), value), STANDARD_LEADS) is None


def test_fewer_leads_say_nothing(ecg: np.ndarray) -> None:
    assert misnamed(ecg[:8], STANDARD_LEADS[:8]) is None
