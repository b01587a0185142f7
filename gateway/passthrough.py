"""KServe v2 at the gateway's own door: requests go to Triton as the bytes that came, answers come back likewise.

So ``tritonclient`` and load testers work against the gateway unchanged. Only published models are reachable. What
administers Triton (loading, shared memory, trace and log settings) is for operators, as ``identity/policy.py`` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from tritonclient.grpc import service_pb2

from cardiomesh.chassis.hop import Hop
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, Overloaded
from gateway.admission import Admission, Priority, Turn
from gateway.backends.backend import Backend
from gateway.catalogue import Catalogue
from gateway.door import current_call
from gateway.identity import POLICY

__all__ = ["SERVICE", "PassThrough", "model_name"]

SERVICE: Final = "inference.GRPCInferenceService"
_PREFIX: Final = f"/{SERVICE}/"
#: Methods whose request names a model in its first field.
_OF_A_MODEL: Final = frozenset({"ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "ModelInfer"})
_INFER: Final = "ModelInfer"
#: Methods whose request has no field: whatever came is not Triton's business.
_EMPTY: Final = frozenset({"ServerLive", "ServerReady", "ServerMetadata"})
_METHODS: Final = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
_STREAM: Final = "ModelStreamInfer"

Context = grpc.aio.ServicerContext


def _rank(priority: Priority) -> bytes:
    only = service_pb2.ModelInferRequest()
    only.parameters["priority"].uint64_param = priority
    return bytes(only.SerializeToString())


_RANKS: Final = {priority: _rank(priority) for priority in Priority}


class PassThrough(grpc.GenericRpcHandler):
    """Forwards ``inference.GRPCInferenceService`` to one Triton."""

    def __init__(self, triton: Backend, catalogue: Catalogue, admission: Admission) -> None:
        self._admission = admission
        self._triton = triton
        self._catalogue = catalogue
        # Without (de)serialisers a gRPC stub takes and gives bytes. The trace ends here: Triton would write the
        # request's id into its spans, and that is the caller's free text.
        self._unary: dict[str, Hop[bytes, bytes]] = {
            method.removeprefix(_PREFIX): triton.hop(triton.channel.unary_unary(method), traced=False)
            for method in POLICY
            if method.startswith(_PREFIX) and not method.endswith(_STREAM)
        }
        self._stream: Hop[AsyncIterator[bytes], bytes] = triton.hop(
            triton.channel.stream_stream(_PREFIX + _STREAM), traced=False
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, or None when it is not one of KServe's."""
        method = handler_call_details.method
        if not method.startswith(_PREFIX):
            return None
        name = method.removeprefix(_PREFIX)
        if name == _STREAM:
            return grpc.stream_stream_rpc_method_handler(self._streaming())
        return grpc.unary_unary_rpc_method_handler(self._forward(name)) if name in self._unary else None

    def _forward(self, name: str) -> Callable[[bytes, Context[bytes, bytes]], Any]:
        async def call(request: bytes, context: Context[bytes, bytes]) -> bytes:
            if name in _OF_A_MODEL:
                self._check(request)
            hop = self._unary[name]
            try:
                if name != _INFER:
                    return await hop(b"" if name in _EMPTY else request)
                async with self._turn(request) as turn:
                    await turn.begin()
                    return await self._triton.idempotent(hop, _ranked(request), current_call().model)
            except CardioMeshError as error:
                _blame(name, request, error)
                raise

        return call

    def _streaming(self) -> Callable[[AsyncIterator[bytes], Context[bytes, bytes]], AsyncIterator[bytes]]:
        async def call(requests: AsyncIterator[bytes], context: Context[bytes, bytes]) -> AsyncIterator[bytes]:
            refusal: list[Exception] = []
            #: One answer a request: each answer gives a place back.
            turns: deque[Turn] = deque()
            last = b""

            async def checked() -> AsyncIterator[bytes]:
                nonlocal last
                async for request in requests:
                    last = request
                    try:
                        self._check(request)
                        turn = self._turn(request)
                        await turn.begin()
                    except (InvalidRequest, NotFound, Overloaded) as error:
                        refusal.append(error)
                        return
                    turns.append(turn)
                    yield _ranked(request)

            try:
                async with aclosing(self._triton.stream(self._stream, checked(), "stream")) as answers:
                    async for answer in answers:
                        if turns:
                            turns.popleft().end()
                        yield answer
            except CardioMeshError as error:
                _blame(_STREAM, last, error)
                raise
            finally:
                for turn in turns:
                    turn.end()
            if refusal:
                raise refusal[0]

        return call

    def _turn(self, request: bytes) -> Turn:
        call = current_call()
        return self._admission.turn(call.priority, call.tenant, ("infer", call.model, len(request).bit_length()))

    def _check(self, request: bytes) -> None:
        name = model_name(request)
        if name not in self._catalogue.graphs():
            raise NotFound("no such model is published here")
        current_call().model = name


def _ranked(request: bytes) -> bytes:
    """The request at the priority of its call: in protobuf, two messages one after the other are one.

    A routine request stays as it is, and keeps a priority of its own.
    """
    priority = current_call().priority
    return request if priority is Priority.ROUTINE else request + _RANKS[priority]


def model_name(request: bytes) -> str:
    """Field 1 of a protobuf message, a string, without decoding the rest; the last one counts, as protobuf says."""
    found = b""
    position = 0
    while position < len(request):
        key, position = _varint(request, position)
        kind = key & 7
        if kind == 0:
            _, position = _varint(request, position)
            continue
        if kind == 2:
            size, position = _varint(request, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _malformed()
        if position + size > len(request):
            raise _malformed()
        if key == (1 << 3 | 2):
            found = request[position : position + size]
        position += size
    return found.decode("utf-8", "replace")


def _blame(name: str, request: bytes, error: CardioMeshError) -> None:
    """Triton calls what is no message INTERNAL; here it is InvalidRequest. Read only once it went wrong."""
    if type(error) is CardioMeshError:
        try:
            GetMessageClass(_METHODS[name].input_type).FromString(request)
        except DecodeError:
            raise _malformed() from error


def _varint(data: bytes, position: int) -> tuple[int, int]:
    if position < len(data) and data[position] < 0x80:  # nearly all of them
        return data[position], position + 1
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _malformed()


def _malformed() -> InvalidRequest:
    return InvalidRequest.field("request", "is not a KServe v2 message", "MALFORMED")
