"""The chain of the audit trail: each record's mac covers its body and the mac before it.

The key is not in the database, so whoever can write there cannot forge a link. What a chain alone cannot show is that
its newest records were cut off together with the head; an anchor kept elsewhere (``SEQ:MAC``) shows that, too.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import audit, audit_ends

__all__ = ["GENESIS", "Verdict", "attest", "link", "verify"]

#: What stands before the first record.
GENESIS: Final = "0" * 64
_PAGE: Final = 2000


def link(key: bytes, before: str, seq: int, body: str) -> str:
    """The mac of one record."""
    return hmac.new(key, f"{before}\0{seq}\0{body}".encode(), hashlib.sha256).hexdigest()


def attest(key: bytes, end: str, seq: int, mac: str) -> str:
    """The proof that an end of the chain was put where it is by somebody with the key."""
    return hmac.new(key, f"{end}\0{seq}\0{mac}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found."""

    records: int
    #: The last record, ``SEQ:MAC``: keep it elsewhere, and give it to a later verification.
    head: str
    #: The first thing that is wrong, in words; empty when nothing is.
    broken: str = ""
    #: Where it is.
    seq: int | None = None


async def verify(connection: AsyncConnection, key: bytes, anchor: str = "") -> Verdict:
    """Walk the whole chain; ``anchor`` is an earlier head that must still be on it."""
    ends = {row.name: row for row in await connection.execute(select(audit_ends))}
    if "head" not in ends or "tail" not in ends:
        return Verdict(0, "", "the ends of the chain are missing")
    for end in ends.values():
        unused = (end.seq, end.mac, end.proof) == (0, GENESIS, "")
        if not unused and not hmac.compare_digest(attest(key, end.name, end.seq, end.mac), end.proof):
            return Verdict(0, "", f"the {end.name} of the chain was moved to record {end.seq}", end.seq)
    before, expected = ends["tail"].mac, ends["tail"].seq + 1
    anchored = _parse(anchor)
    count = 0
    while True:
        page = (
            await connection.execute(select(audit).where(audit.c.seq >= expected).order_by(audit.c.seq).limit(_PAGE))
        ).all()
        for row in page:
            if row.seq != expected:
                return Verdict(count, "", f"record {expected} is missing", expected)
            if not hmac.compare_digest(link(key, before, row.seq, row.body), row.mac):
                return Verdict(count, "", f"record {row.seq} is not what was written", row.seq)
            if anchored is not None and row.seq == anchored[0] and row.mac != anchored[1]:
                return Verdict(count, "", f"record {row.seq} is not the one that was anchored", row.seq)
            before, expected, count = row.mac, row.seq + 1, count + 1
        if len(page) < _PAGE:
            break
    last = expected - 1
    if (ends["head"].seq, ends["head"].mac) != (last, before):
        return Verdict(count, "", f"the trail ends at record {last}, its head says {ends['head'].seq}", last + 1)
    if anchored is not None and anchored[0] > last:
        return Verdict(count, "", f"the trail ends at record {last}, and {anchored[0]} was anchored", last + 1)
    return Verdict(count, f"{last}:{before}")


def _parse(anchor: str) -> tuple[int, str] | None:
    seq, _, mac = anchor.partition(":")
    return (int(seq), mac) if anchor else None
