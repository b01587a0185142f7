"""Bearer tokens against a key set that rotates."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cardiomesh.errors import CardioMeshError, Unauthenticated, Unavailable
from gateway.identity import Role, TokenRules, TokenVerifier

ISSUER, AUDIENCE = "https://login.north.example", "cardiomesh"
#: From the collection of the tests, which may be many minutes before they run.
DAY_S = 86_400


class Provider:
    """An identity provider: makes keys, publishes them in a file, signs tokens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}

    def rotate(self, kid: str, *, keep: bool = False) -> None:
        self.keys = (self.keys if keep else {}) | {kid: ec.generate_private_key(ec.SECP256R1())}
        algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        published = [
            {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name, "use": "sig", "alg": "ES256"}
            for name, key in self.keys.items()
        ]
        self.path.write_text(json.dumps({"keys": published}))

    def token(self, kid: str, signer: ec.EllipticCurvePrivateKey | None = None, **claims: Any) -> str:
        stated = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-17",
            "exp": time.time() + 600,
            "tenant": "north",
            "roles": ["clinician", "something-else"],
        } | claims
        stated = {name: value for name, value in stated.items() if value is not None}
        return jwt.encode(stated, signer or self.keys[kid], algorithm="ES256", headers={"kid": kid})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    made = Provider(tmp_path / "jwks.json")
    made.rotate("one")
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(provider: Provider, clock: Clock) -> TokenVerifier:
    return TokenVerifier(TokenRules(str(provider.path), ISSUER, AUDIENCE), clock=clock)


async def test_a_good_token_is_a_caller(provider: Provider, verifier: TokenVerifier) -> None:
    caller = await verifier.caller(provider.token("one"))
    assert (caller.name, caller.tenant, caller.roles, caller.proof) == (
        "u-17",
        "north",
        frozenset({Role.CLINICIAN}),
        "jwt",
    )


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": time.time() - DAY_S}, "expired"),
        ({"nbf": time.time() + DAY_S}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"exp": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"tenant": None}, "names no tenant"),
        ({"tenant": "north:result"}, "names no tenant"),
        ({"tenant": ["north"]}, "names no tenant"),
    ],
)
async def test_what_is_wrong_is_said(
    provider: Provider, verifier: TokenVerifier, claims: dict[str, Any], says: str
) -> None:
    with pytest.raises(Unauthenticated, match=says):
        await verifier.caller(provider.token("one", **claims))


@pytest.mark.parametrize("seconds", [-59, 59])
async def test_clocks_may_differ_by_a_minute(provider: Provider, verifier: TokenVerifier, seconds: int) -> None:
    claims = {"exp": time.time() + seconds} if seconds < 0 else {"nbf": time.time() + seconds}
    await verifier.caller(provider.token("one", **claims))


async def test_a_forged_signature_is_refused(provider: Provider, verifier: TokenVerifier) -> None:
    forged = provider.token("one", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(Unauthenticated, match="signature"):
        await verifier.caller(forged)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_algorithms_without_a_private_key_are_refused(verifier: TokenVerifier, algorithm: str) -> None:
    secret = "x" * 32 if algorithm == "HS256" else None
    token = jwt.encode({"sub": "x"}, secret, algorithm=algorithm, headers={"kid": "one"})
    with pytest.raises(Unauthenticated, match="algorithm"):
        await verifier.caller(token)


async def test_rotation_is_followed_but_a_flood_of_unknown_keys_is_not(
    provider: Provider, verifier: TokenVerifier, clock: Clock
) -> None:
    old = provider.token("one")
    await verifier.caller(old)
    provider.rotate("two")
    fresh = provider.token("two")
    with pytest.raises(Unauthenticated, match="unknown key"):  # read a moment ago: not again yet
        await verifier.caller(fresh)
    clock.now += 6
    assert (await verifier.caller(fresh)).name == "u-17"
    with pytest.raises(Unauthenticated):  # its key has been withdrawn
        await verifier.caller(old)


async def test_an_unreachable_provider_leaves_the_old_keys_in_force(
    provider: Provider, verifier: TokenVerifier, clock: Clock
) -> None:
    await verifier.caller(provider.token("one"))
    provider.path.unlink()
    clock.now += 1000
    assert (await verifier.caller(provider.token("one", sub="u-18"))).name == "u-18"


async def test_without_any_key_ever_the_service_is_unavailable(tmp_path: Path, provider: Provider) -> None:
    verifier = TokenVerifier(TokenRules(str(tmp_path / "nowhere.json"), ISSUER, AUDIENCE))
    with pytest.raises(Unavailable):
        await verifier.caller(provider.token("one"))


@pytest.mark.parametrize("token", ["a.b.c", "..", "é.é.é"])
async def test_nonsense_is_refused(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(CardioMeshError, match="not a JWT"):
        await verifier.caller(token)
