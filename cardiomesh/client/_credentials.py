"""What a client shows at the gateway's door."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeAlias

__all__ = ["API_KEY_VARIABLE", "Credential", "authorization"]

API_KEY_VARIABLE: Final = "CARDIOMESH_API_KEY"
#: An API key or bearer token, or a function that gives one: it is asked before every call, so tokens can be renewed.
Credential: TypeAlias = str | Callable[[], str]


def authorization(credential: Credential | None) -> tuple[tuple[str, str], ...]:
    """The metadata that shows it; nothing where there is none."""
    if credential is None:
        credential = os.environ.get(API_KEY_VARIABLE, "")
    secret = credential() if callable(credential) else credential
    return (("authorization", f"Bearer {secret}"),) if secret else ()
