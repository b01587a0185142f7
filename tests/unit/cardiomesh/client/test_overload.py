"""A refused call is sent again only where its caller asked for it, after the pause that the mesh asked for."""

from __future__ import annotations

import pytest

from cardiomesh.client._overload import Patience, priority_metadata
from cardiomesh.errors import Overloaded, RateLimited, Unavailable


def test_without_retries_a_refusal_is_an_error() -> None:
    with pytest.raises(Overloaded):
        Patience(30.0, retries=0).pause(Overloaded("busy"))


def test_the_pause_is_what_the_mesh_asked_for_as_often_as_the_caller_allows() -> None:
    patience = Patience(30.0, retries=2)
    assert patience.pause(Overloaded("busy", retry_after_s=0.4)) == 0.4
    assert patience.pause(RateLimited("yours", retry_after_s=2.5)) == 2.5
    with pytest.raises(Overloaded):
        patience.pause(Overloaded("busy"))


def test_a_pause_that_outlasts_the_deadline_is_not_begun() -> None:
    with pytest.raises(Overloaded):
        Patience(1.0, retries=9).pause(Overloaded("busy", retry_after_s=5.0))


def test_nothing_else_is_sent_again() -> None:
    with pytest.raises(Unavailable):
        Patience(30.0, retries=9).pause(Unavailable("away"))


def test_only_what_is_said_travels() -> None:
    assert priority_metadata(None) == ()
    assert priority_metadata("emergency") == (("x-cardiomesh-priority", "emergency"),)
