"""What a call is: by its header, by its method, and never more than its caller may claim."""

from __future__ import annotations

import pytest

from cardiomesh.chassis.priority import PRIORITY_HEADER
from cardiomesh.errors import InvalidRequest, PermissionDenied
from gateway.admission import Priority, priority_of
from gateway.admission.priority import COSTLY
from gateway.identity import POLICY, Caller, Role

MESH = "/cardiomesh.gateway.v1.CardioMesh/"
CLINICIAN = Caller("c", "t", frozenset({Role.CLINICIAN}), "api_key")
READER = Caller("r", "t", frozenset({Role.READER}), "api_key")


@pytest.mark.parametrize(
    ("method", "said", "priority"),
    [
        ("Analyze", None, Priority.ROUTINE),
        ("Analyze", "Emergency ", Priority.EMERGENCY),
        ("Analyze", "batch", Priority.BATCH),
        ("AnalyzeBatch", None, Priority.BATCH),
        ("AnalyzeLong", None, Priority.BATCH),
        ("AnalyzeLong", "routine", Priority.ROUTINE),
        ("Explain", None, Priority.EXPLANATION),
        ("Explain", "emergency", Priority.EXPLANATION),
    ],
)
def test_the_header_decides_and_the_method_where_it_is_silent(
    method: str, said: str | None, priority: Priority
) -> None:
    metadata = {} if said is None else {PRIORITY_HEADER: said}
    assert priority_of(CLINICIAN, MESH + method, metadata) is priority


@pytest.mark.parametrize("word", ["", "urgent", "explanation", "1"])
def test_another_word_is_refused_without_being_repeated(word: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        priority_of(CLINICIAN, MESH + "Analyze", {PRIORITY_HEADER: word})
    assert refused.value.violations[0].field == PRIORITY_HEADER


def test_an_emergency_needs_somebody_who_sends_recordings() -> None:
    with pytest.raises(PermissionDenied):
        priority_of(READER, MESH + "GetResult", {PRIORITY_HEADER: "emergency"})


def test_every_costly_method_is_a_method() -> None:
    assert COSTLY.keys() <= POLICY.keys()
