"""What the API is: the OpenAPI document at /openapi.json, and the same to be read at /docs."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from aiohttp import web

__all__ = ["DOCUMENTS", "add_documents"]

#: Path → file beside this one and its media type. The contract is public, as over gRPC's reflection.
DOCUMENTS: Final = {"/openapi.json": ("openapi.json", "application/json"), "/docs": ("docs.html", "text/html")}
#: The page is whole in itself: it asks for nothing but the document.
_POLICY: Final = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


def add_documents(app: web.Application) -> None:
    """Add both to the service's HTTP port."""
    for path, (name, media_type) in DOCUMENTS.items():
        body = files("gateway.http").joinpath(name).read_bytes()

        async def show(_: web.Request, body: bytes = body, media_type: str = media_type) -> web.Response:
            headers = {"Content-Security-Policy": _POLICY}
            return web.Response(body=body, content_type=media_type, charset="utf-8", headers=headers)

        app.router.add_get(path, show, allow_head=False)
