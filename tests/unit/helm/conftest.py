"""Helm, where it is; rendered once per set of values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from helm.tools.binaries import find
from helm.tools.render import Object, parse, template

Render = Callable[..., list[Object]]


@cache
def _rendered(arguments: tuple[str, ...], profile: str) -> str:
    return template(*arguments, profile=profile)


@pytest.fixture
def render() -> Render:
    """Objects of the chart for a profile and ``--set`` arguments; a copy of one's own."""
    if find("helm") is None:
        pytest.skip("needs helm: make helm-tools, or set CARDIOMESH_HELM")
    return lambda *arguments, profile="": parse(_rendered(arguments, profile))
