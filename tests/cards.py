"""A small model card for tests that need no real model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from cardiomesh.cards import Architecture, DataSource, Head, ModelCard, ModelInput, Statement, StatementKind
from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION
from cardiomesh.ecg.leads import STANDARD_LEADS


def card_of(
    name: str,
    *,
    classes: tuple[str, ...] = ("NORM", "MI"),
    version: int = 1,
    temperature: float = 1.0,
    threshold: float = 0.5,
    activation: Literal["sigmoid", "softmax"] = "sigmoid",
    **changes: Any,
) -> ModelCard:
    """A complete card with one head."""
    statements = tuple(
        Statement(
            code=code,
            name=code.title(),
            name_pt=code.title(),
            kind=StatementKind.SUPERCLASS,
            threshold=threshold,
            threshold_rule="fixed, for tests",
            training_positives=1,
        )
        for code in classes
    )
    facts: dict[str, Any] = {
        "name": name,
        "version": version,
        "description": "for tests",
        "created": datetime(2026, 1, 1, tzinfo=UTC),
        "code_version": "0",
        "architecture": Architecture(family="test", parameters=1),
        "input": ModelInput(
            leads=STANDARD_LEADS,
            samples=1000,
            sampling_rate_hz=100,
            preprocessing_version=PREPROCESSING_VERSION,
        ),
        "heads": (Head(output="statements", activation=activation, temperature=temperature, classes=statements),),
        "data": DataSource(
            name="none", citation="", licence="", records=1, training_folds=(), calibration_folds=(), sha256=""
        ),
        "intended_use": "tests",
        "limits": ("not a model",),
    }
    return ModelCard(**{**facts, **changes})
