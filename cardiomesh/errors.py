"""One tree of errors. Each class knows its gRPC status and a stable machine-readable reason.

::

    CardioMeshError                       INTERNAL
    ├── InvalidRequest                    INVALID_ARGUMENT     carries field violations
    │   ├── UnfitRecording                INVALID_ARGUMENT     decoded, but not fit to be analysed
    │   └── WrongMediaType                INVALID_ARGUMENT     a body of a kind that the call does not take
    ├── TooLarge                          RESOURCE_EXHAUSTED   over a message or size limit
    ├── Overloaded                        RESOURCE_EXHAUSTED   shed at the door; try again later
    │   └── RateLimited                   RESOURCE_EXHAUSTED   this tenant has had its share for now
    ├── NotFound                          NOT_FOUND
    ├── KeyReused                         ALREADY_EXISTS       another request has this idempotency key
    ├── ResultMismatch                    FAILED_PRECONDITION  the explanation would be of another prediction
    ├── DeadlineExceeded                  DEADLINE_EXCEEDED
    ├── Cancelled                         CANCELLED            the caller went away
    ├── Unauthenticated                   UNAUTHENTICATED
    ├── PermissionDenied                  PERMISSION_DENIED
    ├── Unavailable                       UNAVAILABLE          a part of the mesh cannot be reached
    └── Unsupported                       UNIMPLEMENTED

The services raise them, one interceptor turns them into a ``google.rpc.Status``, and the SDK turns that
back into the same classes, so a caller catches what the mesh raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

__all__ = [
    "Cancelled",
    "CardioMeshError",
    "DeadlineExceeded",
    "FieldViolation",
    "InvalidRequest",
    "KeyReused",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "RateLimited",
    "ResultMismatch",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnfitRecording",
    "Unsupported",
    "WrongMediaType",
    "error_for_status",
]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing that is wrong with one field, in words a person can act on."""

    field: str
    description: str
    reason: str = "INVALID"


class CardioMeshError(Exception):
    """Base of every error this system raises on purpose."""

    status: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, violations: Iterable[FieldViolation] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)

    def __str__(self) -> str:
        if not self.violations:
            return self.message
        details = "; ".join(f"{v.field}: {v.description}" for v in self.violations)
        return details if details == self.message else f"{self.message} ({details})"


class InvalidRequest(CardioMeshError):
    """The request cannot be understood; sending it again will not help."""

    status = "INVALID_ARGUMENT"
    reason = "INVALID_REQUEST"

    @classmethod
    def field(cls, name: str, description: str, reason: str = "INVALID") -> Self:
        """The usual case: one field, one thing wrong."""
        return cls(f"{name}: {description}", [FieldViolation(name, description, reason)])

    def __str__(self) -> str:
        return self.message


class UnfitRecording(InvalidRequest):
    """The recording was read, but no honest answer can be given on it."""

    reason = "UNFIT_RECORDING"


class WrongMediaType(InvalidRequest):
    """A body of a kind that the call does not take."""

    reason = "UNSUPPORTED_MEDIA_TYPE"


class TooLarge(CardioMeshError):
    """Over a size limit."""

    status = "RESOURCE_EXHAUSTED"
    reason = "TOO_LARGE"


class Overloaded(CardioMeshError):
    """Shed before any work was done; safe to send again after ``retry_after_s`` seconds."""

    status = "RESOURCE_EXHAUSTED"
    reason = "OVERLOADED"

    def __init__(self, message: str, violations: Iterable[FieldViolation] = (), *, retry_after_s: float = 1.0) -> None:
        super().__init__(message, violations)
        self.retry_after_s = retry_after_s


class RateLimited(Overloaded):
    """The tenant's own rate is used up, however idle the mesh is."""

    reason = "RATE_LIMITED"


class NotFound(CardioMeshError):
    """No such model, version, finding or result."""

    status = "NOT_FOUND"
    reason = "NOT_FOUND"


class KeyReused(CardioMeshError):
    """The idempotency key belongs to another request."""

    status = "ALREADY_EXISTS"
    reason = "KEY_REUSED"


class ResultMismatch(CardioMeshError):
    """The thing to explain is not the thing that was predicted."""

    status = "FAILED_PRECONDITION"
    reason = "RESULT_MISMATCH"


class DeadlineExceeded(CardioMeshError):
    """The caller's time ran out."""

    status = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_EXCEEDED"


class Cancelled(CardioMeshError):
    """The caller went away."""

    status = "CANCELLED"
    reason = "CANCELLED"


class Unauthenticated(CardioMeshError):
    """The caller did not prove who they are."""

    status = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class PermissionDenied(CardioMeshError):
    """The caller is known and may not do this."""

    status = "PERMISSION_DENIED"
    reason = "PERMISSION_DENIED"


class Unavailable(CardioMeshError):
    """A part of the mesh cannot be reached now; it may be in a moment."""

    status = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class Unsupported(CardioMeshError):
    """Understood, and not offered."""

    status = "UNIMPLEMENTED"
    reason = "UNSUPPORTED"


def _tree(base: type[CardioMeshError]) -> Iterable[type[CardioMeshError]]:
    yield base
    for child in base.__subclasses__():
        yield from _tree(child)


def error_for_status(
    status: str, message: str, reason: str = "", violations: Iterable[FieldViolation] = ()
) -> CardioMeshError:
    """The error a gRPC status stands for: by its reason where one travelled, else by its code."""
    classes = list(_tree(CardioMeshError))
    for cls in classes:
        if reason and cls.reason == reason and cls.status == status:
            return cls(message, violations)
    for cls in classes:
        if cls.status == status:
            return cls(message, violations)
    return CardioMeshError(f"{status}: {message}", violations)
