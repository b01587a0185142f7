"""Errors of the workshop: one clear line each, printed by ``python -m export`` without a traceback."""

from __future__ import annotations

from cardiomesh.errors import CardioMeshError

__all__ = ["CheckpointError", "DataError", "DivergenceError", "GateError", "ParityError", "WorkshopError"]


class WorkshopError(CardioMeshError):
    """Something the person at the command line can put right."""

    status = "FAILED_PRECONDITION"
    reason = "WORKSHOP"


class DataError(WorkshopError):
    """The training data is absent, incomplete or not what it says it is."""

    reason = "BAD_TRAINING_DATA"


class CheckpointError(WorkshopError):
    """A checkpoint cannot be read, holds other shapes, or holds values that are not finite."""

    reason = "BAD_CHECKPOINT"


class DivergenceError(WorkshopError):
    """Training has left the finite numbers; the last whole epoch's checkpoint is untouched."""

    reason = "DIVERGED"


class ParityError(WorkshopError):
    """An exported file does not compute what the network computes."""

    reason = "PARITY"


class GateError(WorkshopError):
    """A version may not be published; the repository is as it was."""

    reason = "PUBLISH_GATE"
