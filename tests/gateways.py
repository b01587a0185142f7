"""A gateway of a test's own, in its process, in front of the running mesh's other parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import gateway.__main__ as gateway_main
from cardiomesh.chassis.service import RunningService, running
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.local import Addresses
from gateway.settings import GatewaySettings
from tests.conftest import ROOT

__all__ = ["gateway"]


@asynccontextmanager
async def gateway(addresses: Addresses, **settings: Any) -> AsyncIterator[RunningService]:
    """Serve until the block ends; ``settings`` are the gateway's own."""
    wired = GatewaySettings(
        grpc_address="localhost:0",
        http_address="127.0.0.1:0",
        triton_address=addresses.triton,
        triton_http_address=addresses.triton_http,
        preprocessor_address=addresses.preprocessor,
        explainer_address=addresses.explainer,
        redis_url=f"redis://{addresses.redis}/0",
        model_repository=ROOT / "model_repository",
        **settings,
    )
    telemetry = Telemetry("test")
    async with running(wired, gateway_main.build(wired, telemetry), telemetry) as service:
        await service.health.refresh()
        yield service
    telemetry.close()
