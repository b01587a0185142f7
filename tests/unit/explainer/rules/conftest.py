"""The same facts as the rules' own tests."""

from tests.unit.cardiomesh.rules.conftest import book, changed, normal, recording

__all__ = ["book", "changed", "normal", "recording"]
