"""The HTTP port of a service: /healthz, /readyz, /metrics; the gateway adds its own routes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import grpc
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cardiomesh.chassis.health import Health
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, TooLarge, Unauthenticated
from cardiomesh.rpc.status import code_of

__all__ = ["OPERATIONS", "operations_app", "problem"]

log = logging.getLogger("cardiomesh.http")
#: Routes for kubelets and scrapers; they say nothing of patients.
OPERATIONS: Final = ("/healthz", "/readyz", "/metrics")

_HTTP_STATUS: Final[dict[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def problem(error: CardioMeshError) -> web.Response:
    """An error as ``application/problem+json`` (RFC 9457)."""
    status = 413 if isinstance(error, TooLarge) else _HTTP_STATUS.get(code_of(error), 500)
    body = {
        "type": f"urn:cardiomesh:error:{error.reason.lower()}",
        "title": error.reason.replace("_", " ").capitalize(),
        "status": status,
        "detail": str(error),
        "violations": [{"field": v.field, "description": v.description, "reason": v.reason} for v in error.violations],
    }
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else None
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except CardioMeshError as error:
        return problem(error)
    except web.HTTPRequestEntityTooLarge:
        return problem(TooLarge(f"the body is larger than {request.client_max_size} bytes"))
    except web.HTTPException:
        raise
    except Exception:
        log.exception("unexpected error", extra={"method": request.method})
        return problem(CardioMeshError("an unexpected error; its trace is in this service's log"))


def operations_app(
    health: Health, telemetry: Telemetry, max_body_bytes: int, middlewares: Sequence[Middleware] = ()
) -> web.Application:
    """The routes that every service has."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        missing = list(health.missing)
        return web.json_response({"ready": not missing, "missing": missing}, status=503 if missing else 200)

    async def metrics(_: web.Request) -> web.Response:
        body, content_type = telemetry.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application(middlewares=[_problems, *middlewares], client_max_size=max_body_bytes)
    for path, route in zip(OPERATIONS, (healthz, readyz, metrics), strict=True):
        app.router.add_get(path, route)
    return app
