"""The door over HTTP: deadline, identity, audit and metrics of a call, as over gRPC."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cardiomesh.chassis.calls import OPEN_STREAM_S, Calls
from cardiomesh.chassis.http import OPERATIONS
from cardiomesh.errors import CardioMeshError, InvalidRequest, PermissionDenied
from gateway.door import Door
from gateway.http.answers import STREAM, AnswerStream
from gateway.http.bindings import BINDINGS, KSERVE_ROUTES, full_name, method_of
from gateway.http.document import DOCUMENTS

__all__ = ["OPEN", "ROUTES", "TIMEOUT_HEADER", "guard"]

#: Seconds that a call may take; what a deadline is to gRPC.
TIMEOUT_HEADER: Final = "X-Request-Timeout"
#: Routes that ask nobody who they are.
OPEN: Final = frozenset({*OPERATIONS, *DOCUMENTS})
#: HTTP verb and route template → the method it is another form of.
ROUTES: Final = {(b.verb, b.path): full_name(b) for b in BINDINGS} | dict(KSERVE_ROUTES)


def guard(door: Door, calls: Calls) -> Middleware:
    """What is around every route but the open ones."""
    open_streams = frozenset(full_name(b) for b in BINDINGS if method_of(b).client_streaming)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else ""
        if route in OPEN or request.match_info.http_exception is not None:
            return await handler(request)
        method = ROUTES.get((request.method, route))
        if method is None:
            raise PermissionDenied("this path is not offered at the gateway")
        headers = {name.lower(): value for name, value in request.headers.items()}
        service, _, name = method.strip("/").partition("/")
        facts = {"rpc.system": "http", "rpc.service": service, "rpc.method": name, "http.route": route}
        seconds = _seconds(request, OPEN_STREAM_S if method in open_streams else calls.default_deadline_s)
        try:
            door.knock(method, headers)
        except CardioMeshError as error:
            calls.refused(name, error)
            raise
        try:
            with calls.around(name, "http.server", facts, headers, seconds) as budget:
                async with asyncio.timeout(budget.remaining()), door.enter(method, headers, dict):
                    return await handler(request)
        except CardioMeshError as error:
            stream: AnswerStream | None = request.get(STREAM)
            if stream is None or not stream.response.prepared:
                raise
            return await stream.broken(error)

    return guarded


def _seconds(request: web.Request, default: float) -> float:
    text = request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= OPEN_STREAM_S:
        raise InvalidRequest.field(TIMEOUT_HEADER, f"must be seconds, more than 0, at most {OPEN_STREAM_S:g}")
    return seconds
