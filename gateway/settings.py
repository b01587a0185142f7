"""Settings of the gateway, beside those every service has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from cardiomesh.chassis.settings import ServiceSettings

__all__ = ["GatewaySettings"]


class GatewaySettings(ServiceSettings):
    """The front door."""

    triton_address: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC endpoint.")
    triton_http_address: str = Field("127.0.0.1:8000", description="host:port of Triton's HTTP endpoint.")
    preprocessor_address: str = Field("127.0.0.1:50052", description="host:port of the preprocessor.")
    explainer_address: str = Field("127.0.0.1:50053", description="host:port of the explainer.")
    model_repository: Path = Field(
        Path("model_repository"), description="Folder whose model cards are read; the one Triton serves."
    )
    default_model: str = Field("hybrid_mobile", description="Model that answers when a request names none.")
    redis_url: str | None = Field(None, description="redis:// or rediss:// URL of the result cache; none: no cache.")
    cache_ttl_s: int = Field(3600, ge=1, description="Seconds that a result is kept.")
    cache_timeout_s: float = Field(0.1, gt=0, description="Longest wait for the cache, in seconds.")
    cache_cool_down_s: float = Field(
        2.0, gt=0, description="After a failure, seconds during which the cache is not even asked."
    )
    tenant: str = Field("default", pattern="^[a-z0-9-]{1,64}$", description="Tenant whose results these are.")
