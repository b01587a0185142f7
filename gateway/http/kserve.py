"""KServe v2 over HTTP, forwarded to Triton: the same models and the same refusals as over gRPC."""

from __future__ import annotations

import time
from typing import Final

import aiohttp
from aiohttp import web
from opentelemetry.trace import SpanKind
from yarl import URL

from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import DeadlineExceeded, InvalidRequest, NotFound, PermissionDenied, TooLarge, Unavailable
from gateway.admission import Admission
from gateway.backends.backend import Backend
from gateway.catalogue import Catalogue
from gateway.door import current_call
from gateway.http.bindings import KSERVE_ROUTES

__all__ = ["HttpPassThrough"]

#: What describes a body; everything else of the caller's headers stays here. A compressed body is already unpacked.
_ASKED: Final = ("Content-Type", "Accept-Encoding", "Inference-Header-Content-Length")
_ANSWERED: Final = ("Content-Type", "Content-Encoding", "Inference-Header-Content-Length")


#: How Triton begins when it has no other words for it.
_NO_JSON: Final = b'{"error":"failed to parse the request JSON'


class HttpPassThrough:
    """The ``/v2`` routes."""

    def __init__(
        self, triton_http: str, triton: Backend, catalogue: Catalogue, admission: Admission, telemetry: Telemetry
    ) -> None:
        self._base = URL(f"http://{triton_http}")
        self._triton = triton
        self._catalogue = catalogue
        self._admission = admission
        self._telemetry = telemetry
        self._session: aiohttp.ClientSession | None = None

    def add_routes(self, app: web.Application) -> None:
        """Add them to the service's HTTP port."""
        for verb, path in KSERVE_ROUTES:
            app.router.add_route(verb, path, self._forward)
        app.router.add_route("*", "/v2/{rest:.*}", self._refuse)

    async def _refuse(self, request: web.Request) -> web.Response:
        raise PermissionDenied("this path administers Triton and is not offered at the gateway")

    async def _forward(self, request: web.Request) -> web.Response:
        name = request.match_info.get("model")
        if name is not None and name not in self._catalogue.graphs():
            raise NotFound("no such model is published here")
        current_call().model = name or ""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise TooLarge(f"the body is larger than {request.client_max_size} bytes") from error
        except (aiohttp.ClientPayloadError, web.RequestPayloadError) as error:
            raise InvalidRequest.field("body", "broke off", "MALFORMED") from error
        if request.method != "POST":
            return await self._forwarded(request, name or "", b"")
        call = current_call()
        async with self._admission.turn(call.priority, call.tenant, ("http", name, len(body).bit_length())) as turn:
            await turn.begin()
            return await self._forwarded(request, name or "", body)

    async def _forwarded(self, request: web.Request, model: str, body: bytes) -> web.Response:
        headers = {key: request.headers[key] for key in _ASKED if key in request.headers}
        started = time.perf_counter()
        status = 503
        given = current_budget().for_hop()
        with (
            self._triton.attempt(given, f"http {model}"),
            self._telemetry.span("rpc.client", {"cardiomesh.hop": "triton"}, kind=SpanKind.CLIENT) as span,
        ):
            try:
                async with self._connected().request(
                    request.method,
                    self._base.with_path(request.path),
                    data=body or None,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=given),
                ) as answer:
                    content = await answer.read()
                status = answer.status
            except TimeoutError as error:
                status = 504
                raise DeadlineExceeded("the request's deadline has passed") from error
            except aiohttp.ClientError as error:
                raise Unavailable("triton cannot be reached") from error
            finally:
                self._telemetry.describe(span, {"http.status_code": status})
                self._telemetry.observe(
                    "hop_duration",
                    (time.perf_counter() - started) * 1e3,
                    {"cardiomesh.hop": "triton", "rpc.grpc.status_code": _GRPC_STATUS.get(status // 100 * 100, 2)},
                )
        if status == 500 and content.startswith(_NO_JSON):
            status = 400  # Triton's word for a body that it cannot read; the body is the caller's
        kept = {key: answer.headers[key] for key in _ANSWERED if key in answer.headers}
        return web.Response(status=status, body=content, headers=kept)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Answers pass as they are: what Triton compressed, the caller unpacks.
            self._session = aiohttp.ClientSession(auto_decompress=False)
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


#: For the hop's metric: OK, INVALID_ARGUMENT or UNAVAILABLE.
_GRPC_STATUS: Final = {200: 0, 400: 3, 500: 14}
