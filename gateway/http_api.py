"""``POST /v1/analyze``: the same analysis over HTTP, as JSON or as a file upload."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from aiohttp import BodyPartReader, web
from google.protobuf import json_format
from opentelemetry.trace import SpanKind

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.telemetry import Telemetry, extract
from cardiomesh.errors import DeadlineExceeded, InvalidRequest
from gateway.analysis import Analysis

__all__ = ["HttpApi"]

_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"


class HttpApi:
    """The gateway's own routes."""

    def __init__(self, analysis: Analysis, telemetry: Telemetry, deadline_s: float) -> None:
        self._analysis = analysis
        self._telemetry = telemetry
        self._deadline_s = deadline_s

    def add_routes(self, app: web.Application) -> None:
        """Add them to the service's HTTP port."""
        app.router.add_post("/v1/analyze", self._analyze)

    async def _analyze(self, request: web.Request) -> web.Response:
        """JSON (an AnalyzeRequest), a multipart form with a ``file``, or the bare file with ``?model=``."""
        budget = Budget.of(self._deadline_s)
        enter_budget(budget)
        facts = {"http.route": "/v1/analyze"}
        with self._telemetry.span("http.server", facts, kind=SpanKind.SERVER, parent=extract(request.headers)):
            analyze = await _read(request)
            try:
                # As the gRPC interceptor does: the hops bound themselves, waiting for another's answer does not.
                async with asyncio.timeout(budget.remaining()):
                    answer = await self._analysis.analyze(analyze)
            except TimeoutError as error:
                raise DeadlineExceeded("the request's deadline has passed") from error
        body = json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return web.json_response(body)


async def _read(request: web.Request) -> gateway_pb2.AnalyzeRequest:
    if request.content_type == _JSON:
        return _from_json(await request.read())
    analyze = gateway_pb2.AnalyzeRequest(model=request.query.get("model", ""))
    content = await _form_file(request, analyze) if request.content_type == _FORM else await request.read()
    if not content:
        raise InvalidRequest.field("file", "is empty", "EMPTY")
    analyze.recording.file.content = content
    return analyze


def _from_json(body: bytes) -> gateway_pb2.AnalyzeRequest:
    try:
        return json_format.ParseDict(json.loads(body), gateway_pb2.AnalyzeRequest())
    except (json_format.ParseError, ValueError, RecursionError) as error:
        # The parser's text quotes the body, which may hold a patient's data.
        raise InvalidRequest.field("body", "is not the JSON form of an AnalyzeRequest", "MALFORMED") from error


async def _form_file(request: web.Request, analyze: gateway_pb2.AnalyzeRequest) -> bytes:
    content = b""
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "file":
                content = await _bounded(part, request.client_max_size)
            elif part.name == "model":
                analyze.model = (await _bounded(part, 256)).decode("utf-8", "replace")
    except ValueError as error:
        raise InvalidRequest.field("body", "is not a readable multipart form", "MALFORMED") from error
    return content


async def _bounded(part: BodyPartReader, limit: int) -> bytes:
    """A form part, read up to a limit: ``client_max_size`` does not cover multipart bodies."""
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(content))
    return bytes(content)
