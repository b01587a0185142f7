"""KServe v2 over HTTP, forwarded to Triton: the same models and the same refusals as over gRPC."""

from __future__ import annotations

from typing import Final

import aiohttp
from aiohttp import web
from opentelemetry.trace import SpanKind
from yarl import URL

from cardiomesh.chassis.telemetry import Telemetry, extract, inject
from cardiomesh.errors import DeadlineExceeded, NotFound, PermissionDenied, Unavailable
from gateway.backend import Backend
from gateway.catalogue import Catalogue
from gateway.door import current_call

__all__ = ["HttpPassThrough"]

_SERVER_PATHS: Final = ("/v2", "/v2/health/live", "/v2/health/ready")
_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = _MODEL + "/versions/{version}"
_READS: Final = ("", "/ready", "/config", "/stats")
#: What describes a body; everything else of the caller's headers stays here.
_BODY_HEADERS: Final = ("Content-Type", "Content-Encoding", "Accept-Encoding", "Inference-Header-Content-Length")


class HttpPassThrough:
    """The ``/v2`` routes."""

    def __init__(
        self, triton_http: str, triton: Backend, catalogue: Catalogue, telemetry: Telemetry, deadline_s: float
    ) -> None:
        self._base = URL(f"http://{triton_http}")
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._triton = triton
        self._deadline_s = deadline_s
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._session: aiohttp.ClientSession | None = None

    def add_routes(self, app: web.Application) -> None:
        """Add them to the service's HTTP port."""
        for path in _SERVER_PATHS:
            app.router.add_get(path, self._forward)
        for base in (_MODEL, _VERSION):
            for suffix in _READS:
                app.router.add_get(base + suffix, self._forward)
            app.router.add_post(base + "/infer", self._forward)
        app.router.add_route("*", "/v2/{rest:.*}", self._refuse)

    async def _refuse(self, request: web.Request) -> web.Response:
        raise PermissionDenied("this path administers Triton and is not offered at the gateway")

    async def _forward(self, request: web.Request) -> web.Response:
        name = request.match_info.get("model")
        if name is not None and name not in self._catalogue.graphs():
            raise NotFound(f"no model {name!r} is published here")
        current_call().model = name or ""
        route = request.match_info.route.resource
        facts = {"http.route": route.canonical if route else "/v2"}
        body = await request.read()
        headers = {key: request.headers[key] for key in _BODY_HEADERS if key in request.headers}
        with self._telemetry.span("http.server", facts, kind=SpanKind.SERVER, parent=extract(request.headers)) as span:
            with self._triton.attempt(self._deadline_s, f"http {name or ''}"):
                try:
                    async with self._connected().request(
                        request.method,
                        self._base.with_path(request.path),
                        data=body or None,
                        headers=headers | inject(),
                    ) as answer:
                        content = await answer.read()
                except TimeoutError as error:
                    raise DeadlineExceeded("the request's deadline has passed") from error
                except aiohttp.ClientError as error:
                    raise Unavailable("triton cannot be reached") from error
            self._telemetry.describe(span, {"http.status_code": answer.status})
        kept = {key: answer.headers[key] for key in _BODY_HEADERS if key in answer.headers}
        return web.Response(status=answer.status, body=content, headers=kept)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Bodies pass as they are: what the caller compressed, Triton unpacks, and the other way round.
            self._session = aiohttp.ClientSession(timeout=self._timeout, auto_decompress=False)
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
