"""The flat list of measurements: complete, unique and described."""

from __future__ import annotations

import re
from pathlib import Path

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.recording import Recording
from preprocessor.measuring import measurements_of
from tests.unit.cardiomesh.ecg.delineation.synthetic import ecg

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "measurements.md"


def documented() -> set[str]:
    """Keys of the first table of the document; ``.name`` stands for the group of the key before it."""
    text = DOCUMENT.read_text().split("## Keys")[1].split("\n## ")[0]
    keys, group = set(), ""
    for line in text.splitlines():
        if line.startswith("| `"):
            for name in re.findall(r"`([a-z0-9_.]+)`", line.split("|")[1]):
                group = group if name.startswith(".") else name.split(".")[0]
                keys.add(group + name if name.startswith(".") else name)
    return keys


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    found = measurements_of(Recording(STANDARD_LEADS, ecg().millivolts, 500.0, "test"))
    assert {named.key for named in found} == documented()
    pairs = [(named.key, named.lead) for named in found]
    assert len(set(pairs)) == len(pairs)
    assert {lead for key, lead in pairs if key.startswith("lead.")} == set(STANDARD_LEADS)
    assert not [lead for key, lead in pairs if not key.startswith("lead.") and lead]
