"""What cannot wait, why a human must read the recording, and whether it was sent before: for terminal and sheet."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from cardiomesh.client import Analysis, NearDuplicate
from cardiomesh.language import Language

__all__ = ["OUTCOMES", "decision", "sent_before"]

#: Words for the outcomes of findings.
OUTCOMES: Final[dict[str, dict[str, str]]] = {
    "en": {"present": "present", "absent": "absent", "uncertain": "uncertain"},
    "pt": {"present": "presente", "absent": "ausente", "uncertain": "incerto"},
}
_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "over_read": "HUMAN OVER-READ",
        "first": "FIRST",
        "consider": "consider",
        "before": "the same recording was answered before ({similarity:.0%} alike): {result_id}",
    },
    "pt": {
        "over_read": "REVISÃO HUMANA",
        "first": "PRIMEIRO",
        "consider": "considerar",
        "before": "o mesmo registro já foi respondido ({similarity:.0%} igual): {result_id}",
    },
}


def decision(console: Console, result: Analysis, language: Language) -> None:
    """The lines above the findings; none where there is nothing to say."""
    words, decided = _WORDS[language], result.decision
    if decided is not None:
        for found in decided.critical:
            consider = f" ({words['consider']})" if found.consider else ""
            console.print(Text(f"{words['first']}: {found.name[language]}{consider}", style="bold red"))
        if decided.over_read:
            others = [reason.text[language] for reason in decided.reasons if reason.code != "CRITICAL_FINDING"]
            why = f": {'; '.join(others)}" if others else ""
            console.print(Text(f"{words['over_read']}{why}", style="bold"))
    if result.near_duplicate is not None and result.near_duplicate.result_id:
        console.print(sent_before(result.near_duplicate, language), highlight=False)


def sent_before(found: NearDuplicate, language: Language) -> str:
    """One sentence without its stop."""
    return _WORDS[language]["before"].format(similarity=found.similarity, result_id=found.result_id)
