"""Errors survive the wire as the class, message and violations they were raised with."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cardiomesh import errors
from cardiomesh.errors import CardioMeshError, FieldViolation, InvalidRequest, Overloaded
from cardiomesh.rpc.status import DETAILS_KEY, code_of, error_from_rpc, status_details


class FailedCall(grpc.RpcError):
    def __init__(self, error: CardioMeshError, details: bytes | None) -> None:
        self._error, self._details = error, details

    def code(self) -> grpc.StatusCode:
        return code_of(self._error)

    def details(self) -> str:
        return str(self._error)

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return () if self._details is None else ((DETAILS_KEY, self._details),)


ALL = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]
ERRORS = [cls for cls in ALL if issubclass(cls, CardioMeshError)]


@pytest.mark.parametrize("cls", ERRORS)
def test_every_error_knows_a_real_status_and_survives_the_wire(cls: type[CardioMeshError]) -> None:
    raised = cls("what went wrong", [FieldViolation("field", "is wrong", "WRONG")])
    received = error_from_rpc(FailedCall(raised, status_details(raised)))
    assert type(received) is cls
    assert received.violations == raised.violations


def test_reasons_are_unique() -> None:
    assert len({cls.reason for cls in ERRORS}) == len(ERRORS)


def test_without_details_the_code_decides() -> None:
    received = error_from_rpc(FailedCall(InvalidRequest("bad"), None))
    assert type(received) is InvalidRequest
    assert str(received) == "bad"


def test_garbage_in_the_details_is_not_an_error_of_its_own() -> None:
    assert type(error_from_rpc(FailedCall(InvalidRequest("bad"), b"\xff\xff\xff"))) is InvalidRequest


def test_overload_says_when_to_come_back() -> None:
    status = status_pb2.Status.FromString(status_details(Overloaded("busy", retry_after_s=1.5)))
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)


def test_and_the_other_end_hears_it() -> None:
    busy = Overloaded("busy", retry_after_s=2.25)
    received = error_from_rpc(FailedCall(busy, status_details(busy)))
    assert isinstance(received, Overloaded)
    assert received.retry_after_s == 2.25


def test_many_violations_stay_below_the_header_limit() -> None:
    violations = [FieldViolation(f"recording.signal.leads[{i}]", "x" * 100) for i in range(1000)]
    assert len(status_details(InvalidRequest("bad", violations))) < 8192
