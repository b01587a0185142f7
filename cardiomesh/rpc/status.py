"""Errors on the wire: the error tree to ``google.rpc.Status`` and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import CardioMeshError, FieldViolation, Overloaded, error_for_status

__all__ = ["DETAILS_KEY", "code_of", "error_from_item", "error_from_rpc", "item_error", "status_details"]

DETAILS_KEY: Final = "grpc-status-details-bin"
DOMAIN: Final = "cardiomesh"
#: Trailing metadata travels in HTTP/2 headers, which peers cap at 8 KiB; a status beyond this is cut.
_MAX_VIOLATIONS: Final = 16


def code_of(error: CardioMeshError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return grpc.StatusCode[error.status]


def status_details(error: CardioMeshError) -> bytes:
    """A serialised ``google.rpc.Status`` with ErrorInfo, BadRequest and RetryInfo as they apply."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.status), message=str(error))
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:_MAX_VIOLATIONS]:
            bad.field_violations.add(field=violation.field, description=violation.description, reason=violation.reason)
        status.details.add().Pack(bad)
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration(seconds=int(error.retry_after_s), nanos=int(error.retry_after_s % 1 * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return bytes(status.SerializeToString())


def _details(
    metadata: Iterable[tuple[str, str | bytes]] | None,
) -> tuple[str, tuple[FieldViolation, ...], float | None]:
    raw = next((value for key, value in metadata or () if key == DETAILS_KEY), None)
    if not isinstance(raw, bytes):
        return "", (), None
    status, info, bad = status_pb2.Status(), error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    try:
        status.ParseFromString(raw)
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(bad) or detail.Unpack(retry)
    except DecodeError:
        return "", (), None
    violations = tuple(FieldViolation(v.field, v.description, v.reason) for v in bad.field_violations)
    return (
        info.reason,
        violations,
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def item_error(error: CardioMeshError) -> types_pb2.ItemError:
    """An error of one item of a stream, where the call itself goes on."""
    return types_pb2.ItemError(
        status=error.status,
        reason=error.reason,
        message=str(error),
        violations=[
            types_pb2.FieldViolation(field=v.field, description=v.description, reason=v.reason)
            for v in error.violations[:_MAX_VIOLATIONS]
        ],
    )


def error_from_item(error: types_pb2.ItemError) -> CardioMeshError:
    """The error an item had, as the same class that was raised at the other end."""
    violations = tuple(FieldViolation(v.field, v.description, v.reason) for v in error.violations)
    return error_for_status(error.status, error.message, error.reason, violations)


def error_from_rpc(error: grpc.RpcError) -> CardioMeshError:
    """The error a failed call stands for, as the same class that was raised at the other end."""
    code = error.code() if hasattr(error, "code") else None
    message = (error.details() if hasattr(error, "details") else None) or str(error)
    metadata: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    reason, violations, retry_after_s = _details(metadata)
    typed = error_for_status(code.name if code is not None else "UNKNOWN", message, reason, violations)
    if isinstance(typed, Overloaded) and retry_after_s is not None:
        typed.retry_after_s = retry_after_s
    return typed
