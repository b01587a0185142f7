"""What each model version has answered to the known ECG: learnt once, compared ever after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from cardiomesh.client import Analysis
from cardiomesh.errors import InvalidRequest

__all__ = ["Baseline"]

#: Between a CPU and a GPU, FP32 and FP16, probabilities differ by less than this; another model differs by more.
TOLERANCE: Final = 2e-3


class Baseline:
    """Answers by model, version and card digest, in a JSON file; in memory alone without one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, dict[str, float]] = {}
        if path is not None and path.exists():
            try:
                self._known = json.loads(path.read_text())
            except ValueError as error:
                raise InvalidRequest.field("baseline", f"{path} is not a baseline", "MALFORMED") from error

    def compare(self, answer: Analysis) -> str:
        """What is wrong with an answer, in words; empty when it is as before, or the first of its version."""
        key = f"{answer.model.name}:{answer.model.version}:{answer.model.card_digest}"
        known = self._known.get(key)
        if known is None:
            self._known[key] = answer.probabilities
            if self._path is not None:
                self._path.write_text(json.dumps(self._known, indent=1) + "\n")
            return ""
        if known.keys() != answer.probabilities.keys():
            return "it answers other findings than before"
        code = max(known, key=lambda code: abs(known[code] - answer.probabilities[code]))
        change = abs(known[code] - answer.probabilities[code])
        return f"{code} was {known[code]:.4f} and is {answer.probabilities[code]:.4f}" if change > TOLERANCE else ""
