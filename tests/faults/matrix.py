"""The table of faults: what is done to a part, and what callers of the gateway may see meanwhile.

``docs/operations.md`` holds the same table (``python -m tests.faults.matrix`` prints it), and a test compares the two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from redis import Redis

from tests.faults.bench import Bench, GatewayProcess, StoreKind
from tests.faults.books import ANSWERED, PART_MISSING
from tests.faults.proxy import Proxy

__all__ = ["FAULTS", "Fault", "table"]

Strike = Callable[[Bench, GatewayProcess], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One row. The fault lasts as long as the block of ``strike``."""

    part: str
    what: str
    strike: Strike
    #: What may come of an analysis that is computed, of one that the cache has, and of an explanation: ``answered``,
    #: ``part missing``, or the status of an error.
    computed: frozenset[str]
    cached: frozenset[str]
    explained: frozenset[str]
    #: The store that the gateway must have for it; any, where none is named.
    store: StoreKind | None = None
    #: Deadline of each call, in seconds.
    deadline_s: float = 6.0
    heavy: bool = False
    #: Whether some computed analysis must have met it, where its row allows for that.
    felt: bool = True

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.part}: {self.what}"


# -- strikes -------------------------------------------------------------------------------------------------


def _killed(part: str) -> Strike:
    @contextmanager
    def strike(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
        bench.kill(part)
        yield

    return strike


def _stopped(part: str) -> Strike:
    return lambda bench, gateway: bench.stopped(part)


def _link(part: str, harm: Callable[[Proxy], None]) -> Strike:
    @contextmanager
    def strike(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
        proxy: Proxy = getattr(bench, part)
        harm(proxy)
        try:
            yield
        finally:
            proxy.heal()

    return strike


@contextmanager
def _redis_full(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
    with Redis.from_url(f"redis://{bench.mesh.addresses.redis}/0", socket_timeout=10) as redis:
        before = redis.config_get("maxmemory", "maxmemory-policy")
        redis.config_set("maxmemory-policy", "noeviction", "maxmemory", 1)
        try:
            yield
        finally:
            redis.config_set(*(word for pair in before.items() for word in pair))


def _redis_keys(spoil: Callable[[Redis, bytes], object]) -> Strike:
    @contextmanager
    def strike(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
        with Redis.from_url(f"redis://{bench.mesh.addresses.redis}/0", socket_timeout=10) as redis:
            keys = list(redis.scan_iter("cm*"))
            assert keys, "the cache holds nothing to spoil"
            for key in keys:
                spoil(redis, key)
        yield

    return strike


def _to_list(redis: Redis, key: bytes) -> None:
    redis.delete(key)
    redis.rpush(key, "not ours")


@contextmanager
def _sqlite_locked(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
    path = bench.trails[StoreKind.SQLITE].url.removeprefix("sqlite:///")
    with sqlite3.connect(path, isolation_level=None, timeout=30) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def _no_room(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
    with gateway.no_room():
        yield


@contextmanager
def _postgresql_killed(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
    bench.postgresql.kill()
    try:
        yield
    finally:
        bench.postgresql.start()


@contextmanager
def _postgresql_locked(bench: Bench, gateway: GatewayProcess) -> Iterator[None]:
    with bench.postgresql.locked(StoreKind.POSTGRESQL, "audit_ends"):
        yield


# -- the table -----------------------------------------------------------------------------------------------

_FINE: Final = frozenset({ANSWERED})
_GONE: Final = frozenset({ANSWERED, "UNAVAILABLE"})
_AWAY: Final = frozenset({"UNAVAILABLE"})
#: Who waits in vain holds a place, and the limit on places adapts: others may be shed at the door.
_SHED: Final = frozenset({"RESOURCE_EXHAUSTED"})
_SILENT: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"}) | _SHED
_PARTS: Final = frozenset({ANSWERED, PART_MISSING})


def _slow(proxy: Proxy) -> None:
    proxy.slow(0.2)


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("Triton", "killed", _killed("triton"), _GONE, _FINE, _PARTS),
    Fault("Triton", "stopped", _stopped("triton"), _SILENT, _FINE, _SILENT | _PARTS, deadline_s=1.5),
    Fault("Triton", "slow by 200 ms each way", _link("triton", _slow), _FINE, _FINE, _FINE),
    Fault("Triton", "connections reset", _link("triton", Proxy.reset), _GONE, _FINE, _PARTS, felt=False),
    Fault("Triton", "unreachable", _link("triton", Proxy.refuse), _AWAY, _FINE, _PARTS),
    Fault(
        "Triton",
        "connection half open",
        _link("triton", Proxy.lose),
        _SILENT,
        _FINE,
        _SILENT | _PARTS,
        deadline_s=1.5,
        heavy=True,
    ),
    Fault("Redis", "killed", _killed("redis"), _FINE, _FINE, _FINE),
    Fault("Redis", "black hole", _link("redis", Proxy.hold), _FINE, _FINE, _FINE),
    Fault("Redis", "connection half open", _link("redis", Proxy.lose), _FINE, _FINE, _FINE),
    Fault("Redis", "full, evicts nothing", _redis_full, _FINE, _FINE, _FINE),
    Fault("Redis", "another type at our keys", _redis_keys(_to_list), _FINE, _FINE, _FINE),
    Fault("Redis", "other bytes at our keys", _redis_keys(lambda r, key: r.set(key, b"x" * 99)), _FINE, _FINE, _FINE),
    Fault("Preprocessor", "killed", _killed("preprocessor"), _GONE, _FINE, _GONE),
    Fault("Preprocessor", "stopped", _stopped("preprocessor"), _SILENT, _FINE, _FINE | _SILENT, deadline_s=1.5),
    Fault("Preprocessor", "slow by 200 ms each way", _link("preprocessor", _slow), _FINE, _FINE, _FINE),
    Fault("Preprocessor", "unreachable", _link("preprocessor", Proxy.refuse), _AWAY, _FINE, _GONE),
    Fault(
        "Preprocessor",
        "connection half open",
        _link("preprocessor", Proxy.lose),
        _SILENT,
        _FINE,
        _FINE | _SILENT,
        deadline_s=1.5,
        heavy=True,
    ),
    Fault("Explainer", "killed", _killed("explainer"), _FINE, _FINE, _GONE | {PART_MISSING}),
    Fault("Explainer", "stopped", _stopped("explainer"), _FINE, _FINE, _SILENT, deadline_s=3.0),
    Fault("SQLite", "locked", _sqlite_locked, _SILENT, _SILENT, _SILENT, StoreKind.SQLITE),
    Fault("SQLite", "disk full", _no_room, _AWAY, _AWAY, _AWAY, StoreKind.SQLITE),
    Fault("PostgreSQL", "killed", _postgresql_killed, _AWAY, _AWAY, _AWAY, StoreKind.POSTGRESQL),
    Fault("PostgreSQL", "locked", _postgresql_locked, _SILENT, _SILENT, _SILENT, StoreKind.POSTGRESQL),
    Fault("PostgreSQL", "black hole", _link("database", Proxy.hold), _SILENT, _SILENT, _SILENT, StoreKind.POSTGRESQL),
    Fault(
        "PostgreSQL",
        "connection half open",
        _link("database", Proxy.lose),
        _FINE | _SILENT,
        _FINE | _SILENT,
        _FINE | _SILENT,
        StoreKind.POSTGRESQL,
        felt=False,
    ),
    Fault("PostgreSQL behind a journal", "killed", _postgresql_killed, _FINE, _FINE, _FINE, StoreKind.JOURNAL),
    Fault("Journal", "disk full", _no_room, _AWAY, _AWAY, _AWAY, StoreKind.JOURNAL),
)


def _says(allowed: frozenset[str]) -> str:
    words = [ANSWERED, PART_MISSING, "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"]
    words = [word for word in words if word in allowed]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def table() -> str:
    """The rows as Markdown."""
    lines = ["| fault | analysis computed | analysis in the cache | explanation |", "|---|---|---|---|"]
    lines += [f"| {f.name} | {_says(f.computed)} | {_says(f.cached)} | {_says(f.explained)} |" for f in FAULTS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
