"""What the fidelity harness found of each method on one version of a model, as data beside its card.

``model_repository/NAME/VERSION/explanations.json`` is written by ``python -m explainer evaluate --write``. It names the
digest of the card it was measured on; for any other card it says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cardiomesh.cards import VERDICT_FILE, ModelCard
from cardiomesh.errors import CardioMeshError

__all__ = ["Gate", "MethodVerdict", "Verdict", "Verdicts"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Gate(_Part):
    """One measured figure and the limit it must keep."""

    name: str
    value: float
    relation: Literal["<=", ">="]
    limit: float
    #: How many explanations it was measured on.
    n: int

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; a figure that is not a number keeps none."""
        return self.value <= self.limit if self.relation == "<=" else self.value >= self.limit


class MethodVerdict(_Part):
    """All gates of one method; it is on when every one is passed."""

    gates: tuple[Gate, ...]
    #: Measured beside them; decides nothing.
    figures: dict[str, float] = {}

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that switch it off."""
        return tuple(gate for gate in self.gates if not gate.passed)


class Verdict(_Part):
    """The gates of every method that was measured, by the method's name."""

    schema_version: Literal[1] = 1
    model: str
    version: int
    card_digest: str
    command: str
    data: str
    methods: dict[str, MethodVerdict]


class Verdicts:
    """The verdicts of one model repository, read when first needed."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._known: dict[str, Verdict | None] = {}

    def of(self, card: ModelCard) -> Verdict | None:
        """The verdict on this very card, or None when it was never measured."""
        if card.digest not in self._known:
            self._known[card.digest] = self._read(card)
        return self._known[card.digest]

    def _read(self, card: ModelCard) -> Verdict | None:
        path = self._repository / card.name / str(card.version) / VERDICT_FILE
        if not path.is_file():
            return None
        try:
            verdict = Verdict.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CardioMeshError(f"{path}: cannot be read as a verdict on explanations") from error
        return verdict if verdict.card_digest == card.digest else None
