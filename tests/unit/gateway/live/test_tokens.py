"""A token is good for one tenant, one start and some time; nothing else opens it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardiomesh.errors import InvalidRequest
from gateway.live.alarms import Raised
from gateway.live.tokens import Standing, TokenMint
from tests.unit.gateway.live.harness import form

FORM = form().digest
STANDING = Standing(
    "hybrid_mobile", 3, "ab" * 32, 41, ((43, 44), (46, 50)), (Raised("VF", "Fibrilação", "Fibrilação", 40, 45, 1),)
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mint(clock: Clock) -> TokenMint:
    return TokenMint(b"k" * 32, 60.0, clock)


def test_it_comes_back_as_it_was_at_every_replica(mint: TokenMint, clock: Clock) -> None:
    token = mint.mint(STANDING, "north", FORM)
    clock.now += 60
    assert TokenMint(b"k" * 32, 60.0, clock).read(token, "north", FORM) == STANDING


def refused(mint: TokenMint, token: bytes, tenant: str = "north", digest: bytes = FORM) -> str:
    with pytest.raises(InvalidRequest) as caught:
        mint.read(token, tenant, digest)
    (violation,) = caught.value.violations
    assert violation.field == "start.resumption_token"
    return violation.reason


def test_it_expires(mint: TokenMint, clock: Clock) -> None:
    token = mint.mint(STANDING, "north", FORM)
    clock.now += 61
    assert refused(mint, token) == "EXPIRED_TOKEN"


def test_another_tenant_another_start_or_another_key_cannot_use_it(mint: TokenMint, clock: Clock) -> None:
    token = mint.mint(STANDING, "north", FORM)
    assert refused(mint, token, tenant="south") == "INVALID_TOKEN"
    for other in ({"subject_ref": "someone else"}, {"stride": 2.0}, {"model": "edge_optimized"}, {"unit": "mV"}):
        assert refused(mint, token, digest=form(**other).digest) == "INVALID_TOKEN"
    assert refused(TokenMint(b"x" * 32, 60.0, clock), token) == "INVALID_TOKEN"


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    mint = TokenMint(b"k" * 32, 60.0, lambda: 1000.0)
    token = bytearray(mint.mint(STANDING, "north", FORM))
    position = data.draw(st.integers(0, len(token) - 1))
    token[position] ^= data.draw(st.integers(1, 255))
    assert refused(mint, bytes(token)) == "INVALID_TOKEN"


@given(st.binary(max_size=100))
def test_noise_is_refused(noise: bytes) -> None:
    assert refused(TokenMint(b"k" * 32, 60.0), noise) == "INVALID_TOKEN"


def test_the_subject_is_not_in_it(mint: TokenMint) -> None:
    assert b"MRN" not in mint.mint(STANDING, "north", form(subject_ref="MRN 4711").digest)
