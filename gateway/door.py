"""The gateway's door, for gRPC and HTTP alike: nobody gets past it unknown, and nothing it does not list is offered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cardiomesh.chassis.http import OPERATIONS
from cardiomesh.errors import PermissionDenied
from gateway.identity import HTTP_ROUTES, Authenticator, Caller, Peer, permit

__all__ = ["Door", "current_caller"]

_caller: ContextVar[Caller] = ContextVar("cardiomesh_caller")


def current_caller() -> Caller:
    """Whoever made the call being served; LookupError outside of one."""
    return _caller.get()


class Door:
    """Authenticates and authorises every call."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    @asynccontextmanager
    async def enter(
        self, method: str, metadata: Mapping[str, str], peer: Mapping[str, Iterable[bytes]]
    ) -> AsyncIterator[None]:
        """Surround one call of ``method`` (``/package.Service/Method``); raises Unauthenticated or PermissionDenied."""
        caller = await self._authenticator.caller(metadata, Peer.of(peer))
        permit(caller, method)
        _caller.set(caller)
        yield

    @property
    def middleware(self) -> Middleware:
        """The same for HTTP routes; those of operations stay open."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else ""
            if route in OPERATIONS or request.match_info.http_exception is not None:
                return await handler(request)
            method = HTTP_ROUTES.get((request.method, route))
            if method is None:
                raise PermissionDenied("this path is not offered at the gateway")
            headers = {name.lower(): value for name, value in request.headers.items()}
            async with self.enter(method, headers, {}):
                return await handler(request)

        return guarded
