"""What the gateway keeps: studies, answers, and an audit trail that shows tampering."""

from gateway.store.engine import open_engine
from gateway.store.entries import AuditRecord, Claim, Entry, StoredAnswer
from gateway.store.journal import Journal
from gateway.store.keys import LedgerKeys
from gateway.store.ledger import Durability, Ledger
from gateway.store.maintenance import migrate
from gateway.store.subjects import Pseudonyms

__all__ = [
    "AuditRecord",
    "Claim",
    "Durability",
    "Entry",
    "Journal",
    "Ledger",
    "LedgerKeys",
    "Pseudonyms",
    "StoredAnswer",
    "migrate",
    "open_engine",
]
