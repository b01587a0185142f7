"""Every reason the preprocessor can give has its Portuguese words."""

from __future__ import annotations

import re
from pathlib import Path

import cardiomesh.ecg.quality
from cardiomesh.language import quality_reason


def test_every_quality_code_is_translated() -> None:
    source = Path(cardiomesh.ecg.quality.__file__).read_text()
    codes = set(re.findall(r'(?:Reason|_Feature)\(\s*"([A-Z_]+)"', source))
    assert {"LOW_AMPLITUDE", "MAINS", "NOISE"} <= codes
    for code in codes:
        assert quality_reason(code, "english", "pt") != "english", code
        assert quality_reason(code, "english", "en") == "english"


def test_an_unknown_code_keeps_its_text() -> None:
    assert quality_reason("NEW", "something new", "pt") == "something new"
