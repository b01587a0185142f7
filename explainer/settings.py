"""Settings of the explainer, beside those every service has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from cardiomesh.chassis.settings import ServiceSettings

__all__ = ["ExplainerSettings"]


class ExplainerSettings(ServiceSettings):
    """The explainer."""

    triton_address: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC endpoint.")
    model_repository: Path = Field(
        Path("model_repository"), description="Folder whose model cards are read; the one Triton serves."
    )
    explanations_at_once: int = Field(1, ge=1, description="Explanations computed at the same time.")
    explanations_waiting: int = Field(8, ge=0, description="Explanations that may wait; more are refused.")
    explanation_share: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Share of the time that explanations compute while predictions are asked for; 1: all of it, where "
        "they have hardware of their own.",
    )
    niceness: int = Field(10, ge=0, le=19, description="Scheduling priority given up to other processes of the host.")
