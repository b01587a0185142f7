"""An alarm when a check begins to fail, and when it is well again; not one at every look in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cardiomesh.watch.checks import Check, Report

__all__ = ["Alarms", "Webhook"]

_TIMEOUT_S: Final = 10.0
#: Takes one sentence; True when somebody has it.
Tell = Callable[[str], bool]


class Alarms:
    """Remembers what is wrong, and tells changes. What could not be told is told again at the next look."""

    def __init__(self, tell: Tell, *, after: int = 2) -> None:
        """``after``: looks in a row that must fail, so that one lost packet wakes nobody."""
        self._tell = tell
        self._after = after
        self._failures: dict[str, int] = {}
        self._told: set[str] = set()

    def take(self, report: Report) -> None:
        """Tell what has changed since the last report."""
        for check in report.checks:
            self._failures[check.name] = 0 if check.ok else self._failures.get(check.name, 0) + 1
            if self._failures[check.name] >= self._after and check.name not in self._told:
                if self._tell(f"CardioMesh: {check.name} fails: {check.wrong}"):
                    self._told.add(check.name)
            elif check.ok and check.name in self._told and self._tell(_well(check)):
                self._told.discard(check.name)


def _well(check: Check) -> str:
    return f"CardioMesh: {check.name} is well again: {check.seen}"


class Webhook:
    """Posts ``{"text": …}``, which Slack, Mattermost, Teams and Alertmanager's bridges take."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, text: str) -> bool:
        """Whether the other end took it."""
        import httpx  # only who has a webhook pays for it

        try:
            return httpx.post(self._url, json={"text": text}, timeout=_TIMEOUT_S).is_success
        except httpx.HTTPError:
            return False
