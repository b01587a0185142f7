"""The gateway's wall clock jumps by five minutes while it serves; what hangs on it says so, everything else goes on."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cardiomesh.client import AsyncClient
from cardiomesh.errors import Unauthenticated
from tests.faults.bench import Bench, GatewayProcess
from tests.faults.books import ANSWERED, Books, Trail
from tests.faults.questions import Question, questions

pytestmark = pytest.mark.mesh

ISSUER, AUDIENCE = "https://login.north.example", "cardiomesh"
SECONDS = 10.0
#: The Debian package ``libfaketime``.
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@dataclass
class Skewed:
    """A gateway whose wall clock a file sets; its monotonic clock is the machine's."""

    gateway: GatewayProcess
    trail: Trail
    offset: Path
    signer: ec.EllipticCurvePrivateKey

    def set(self, seconds: int) -> None:
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self.offset)

    def token(self) -> str:
        """By an issuer whose clock is right, for four minutes."""
        now = time.time()
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u-17", "tenant": "default", "roles": ["clinician"]}
        claims |= {"iat": now, "nbf": now, "exp": now + 240}
        return jwt.encode(claims, self.signer, algorithm="ES256", headers={"kid": "one"})


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return questions(2)


@pytest.fixture(scope="module")
def skewed(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Skewed:
    if LIBRARY is None:
        pytest.skip("needs libfaketime")
    folder, signer = tmp_path_factory.mktemp("clock"), ec.generate_private_key(ec.SECP256R1())
    published = json.loads(jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).to_jwk(signer.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**published, "kid": "one", "use": "sig"}]}))
    url = f"sqlite:///{folder / 'store.sqlite'}"
    settings = bench.wiring | {
        "jwks": str(folder / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "store_url": url,
        "store_timeout_s": "20",
    }
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "offset"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    (folder / "offset").write_text("+0\n")
    return Skewed(bench.start(folder, settings, environment), Trail(url, bench.key), folder / "offset", signer)


async def refusal(client: AsyncClient) -> str:
    """Ask until refused: the clock jumps within a second."""
    while True:
        try:
            await client.models()
        except Unauthenticated as error:
            return str(error)


async def admitted(client: AsyncClient) -> None:
    """Ask until let in, likewise."""
    while True:
        try:
            await client.models()
        except Unauthenticated:
            continue
        return


@pytest.mark.parametrize(("seconds", "says"), [(300, "has expired"), (-300, "not valid yet")])
async def test_a_jump_of_five_minutes(skewed: Skewed, asked: list[Question], seconds: int, says: str) -> None:
    async with (
        Books(skewed.gateway.address, skewed.trail) as books,
        AsyncClient(skewed.gateway.address, credential=skewed.token) as by_token,
    ):
        skewed.set(0)
        await books.until_well(asked)
        await admitted(by_token)
        skewed.set(seconds)
        assert says in await refusal(by_token)
        for afresh in (True, False):  # deadlines, breakers and the cache do not hang on the wall clock
            assert await books.analyze(asked[0], afresh=afresh, seconds=SECONDS) == ANSWERED
        skewed.set(seconds // 10)  # within the leeway of a minute
        await admitted(by_token)
        skewed.set(0)
        await books.until_well(asked)
        assert (books.wrong, await books.balance()) == ([], "")
        recorded = [record["at"] for record in await skewed.trail.records()]
        assert recorded != sorted(recorded)  # the trail holds the order in which things were written, not the times
    assert skewed.gateway.alive
