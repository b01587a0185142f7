"""The two clients: one blocks, one awaits; the same methods, arguments and answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Unpack

import grpc

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from cardiomesh.client._batch import BatchItem, answers, answers_async
from cardiomesh.client._closing import AsyncCloses, Closes
from cardiomesh.client._credentials import Credential, authorization
from cardiomesh.client._decision import Setting, setting_value
from cardiomesh.client._explanation import Explanation, explanation_of, method_of
from cardiomesh.client._live_start import LiveArguments, live_outbox
from cardiomesh.client._long import LongPart, long_parts, long_parts_async
from cardiomesh.client._overload import Patience, Priority, priority_metadata
from cardiomesh.client._requests import FileLike, RecordingArguments, recording_of
from cardiomesh.client._results import (
    Analysis,
    ModelInfo,
    analysis_of,
    models_of,
)
from cardiomesh.client._routing import InferenceMode, mode_value
from cardiomesh.client._stream import AsyncLiveStream, LiveStream
from cardiomesh.client._tracing import traced
from cardiomesh.rpc.channel import TlsFiles, dial, dial_sync
from cardiomesh.rpc.status import error_from_rpc
from cardiomesh.rpc.upload import status_kept

__all__ = ["DEFAULT_TIMEOUT_S", "AsyncClient", "Client"]

DEFAULT_TIMEOUT_S: Final = 30.0


def _analyze_request(
    model: str,
    model_version: int,
    bypass_cache: bool,
    include_signal: bool,
    measure: bool,
    setting: Setting,
    inference_mode: InferenceMode,
    allow_fallback: bool,
    idempotency_key: str,
    recording: RecordingArguments,
) -> gateway_pb2.AnalyzeRequest:
    return gateway_pb2.AnalyzeRequest(
        recording=recording_of(recording),
        model=model,
        model_version=model_version,
        bypass_cache=bypass_cache,
        include_signal=include_signal,
        measure=measure,
        setting=setting_value(setting),
        inference_mode=mode_value(inference_mode),
        allow_fallback=allow_fallback,
        idempotency_key=idempotency_key,
    )


def _explain_request(
    findings: str | Sequence[str],
    methods: Sequence[str],
    budget: float,
    model: str,
    model_version: int,
    result_id: str,
    recording: RecordingArguments,
) -> gateway_pb2.ExplainRequest:
    kept = bool(result_id) and not {"signal", "file"} & set(recording)
    return gateway_pb2.ExplainRequest(
        recording=None if kept else recording_of(recording),
        finding_codes=[findings] if isinstance(findings, str) else list(findings),
        model=model,
        model_version=model_version,
        result_id=result_id,
        methods=[method_of(name) for name in methods],
        budget_seconds=budget,
    )


class Client(Closes):
    """A blocking client of one gateway, ``Client("host:port")``. Safe to share between threads.

    ``credential`` is an API key, a bearer token, or a function that gives a fresh one; the default is the environment's
    ``CARDIOMESH_API_KEY``. ``timeout`` is the whole call's deadline in seconds; it travels with the call through every
    hop. ``retries`` is how often a call is sent again that was refused as too many, after the pause that the mesh asked
    for and within the deadline; streams never are.
    """

    def __init__(
        self,
        address: str,
        *,
        credential: Credential | None = None,
        tls: TlsFiles | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: int = 0,
        tracer_provider: Any = None,
    ) -> None:
        self._channel = dial_sync(address, tls)
        self._stub = gateway_pb2_grpc.CardioMeshStub(self._channel)
        self._timeout = timeout
        self._retries = retries
        self._tracers = tracer_provider
        self._credential = credential

    def analyze(
        self,
        *,
        model: str = "",
        model_version: int = 0,
        bypass_cache: bool = False,
        include_signal: bool = False,
        measure: bool = False,
        setting: Setting = "",
        inference_mode: InferenceMode = "auto",
        allow_fallback: bool = False,
        priority: Priority | None = None,
        idempotency_key: str = "",
        timeout: float | None = None,
        **recording: Unpack[RecordingArguments],
    ) -> Analysis:
        """Analyse one recording: ``signal=`` and ``sampling_rate=``, or ``file=`` (see ``RecordingArguments``).

        Without ``model`` the gateway's default answers, or the one that ``inference_mode`` stands for, and another
        where that is away; who names a model allows that with ``allow_fallback``. ``routing`` of the answer says so.
        ``setting`` is where the patient is seen. With an ``idempotency_key`` the same request sent again gets the same
        answer, marked as ``replayed``, and another one raises KeyReused. Raises the errors of ``cardiomesh.errors``.
        """
        request = _analyze_request(
            model,
            model_version,
            bypass_cache,
            include_signal,
            measure,
            setting,
            inference_mode,
            allow_fallback,
            idempotency_key,
            recording,
        )
        return analysis_of(self._call(self._stub.Analyze, request, "Analyze", timeout, priority))

    def analyze_batch(
        self,
        recordings: Iterable[tuple[str, RecordingArguments]],
        *,
        model: str = "",
        model_version: int = 0,
        bypass_cache: bool = False,
        measure: bool = False,
        setting: Setting = "",
        inference_mode: InferenceMode = "auto",
        allow_fallback: bool = False,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> Iterator[BatchItem]:
        """Analyse many recordings on one stream; each comes back as soon as it is ready, under the name it was given.

        A recording that cannot be analysed comes back with its error and ends nothing. ``recordings`` is read as fast
        as answers are taken, so an archive of any size takes little memory: ``client.analyze_batch((str(path),
        {"file": path}) for path in paths)``. ``timeout`` is the whole stream's, a day where none is given; each
        recording has the gateway's own deadline. Raises only what ends the stream, such as Unavailable.
        """
        template = gateway_pb2.AnalyzeRequest(
            model=model,
            model_version=model_version,
            bypass_cache=bypass_cache,
            measure=measure,
            setting=setting_value(setting),
            inference_mode=mode_value(inference_mode),
            allow_fallback=allow_fallback,
        )
        return answers(self._opener("AnalyzeBatch", timeout, priority), template, recordings)

    def analyze_long(
        self,
        file: FileLike,
        *,
        model: str = "",
        model_version: int = 0,
        stride: float = 10.0,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> Iterator[LongPart]:
        """Analyse a recording of any length, such as a day's Holter tape, ten seconds every ``stride`` seconds.

        Gives one LongOverview, a LongWindow for each ten seconds as it is ready, and at the end a LongSummary. The file
        is sent in chunks and never held in memory. ``timeout`` is the whole stream's, a day where none is given.
        """
        start = gateway_pb2.AnalyzeLongStart(model=model, model_version=model_version, stride=stride)
        return long_parts(self._opener("AnalyzeLong", timeout, priority), start, file)

    def stream(
        self,
        sampling_rate: float,
        *,
        reconnect: float = 60.0,
        unsent: float = 60.0,
        priority: Priority | None = None,
        timeout: float | None = None,
        **recording: Unpack[LiveArguments],
    ) -> LiveStream:
        """Analyse leads while they are recorded: ``send`` samples, iterate the answers, ``finish`` (``LiveArguments``).

        A broken connection is taken up again where it broke, without a window lost or answered twice; ``reconnect`` is
        for how many seconds without an answer that is tried. Without ``timeout`` it goes on for days. ``unsent`` is
        how many seconds of samples may wait here before ``send`` waits, or, with ``when_behind="skip"``, before the
        oldest are given up.
        """
        outbox = live_outbox(sampling_rate, recording, unsent)
        opener = self._opener("AnalyzeStream", timeout, priority)
        return LiveStream(opener, outbox, reconnect, endless=timeout is None)

    def explain(
        self,
        findings: str | Sequence[str],
        *,
        methods: Sequence[str] = (),
        budget: float = 0.0,
        model: str = "",
        model_version: int = 0,
        result_id: str = "",
        timeout: float | None = None,
        **recording: Unpack[RecordingArguments],
    ) -> Explanation:
        """Explain findings on a recording; with ``result_id``, only if that answer was of this very recording.

        ``methods`` names them, such as "rules" or "lime"; none means every method that is not switched off for the
        model. ``budget`` is how many seconds may be spent, within the deadline; what does not fit is a part that says
        so. Where the mesh keeps tensors, ``result_id`` alone is enough.
        """
        request = _explain_request(findings, methods, budget, model, model_version, result_id, recording)
        with traced("Explain", self._tracers, authorization(self._credential)) as metadata:
            try:
                parts = self._stub.Explain(request, timeout=self._deadline(timeout), metadata=metadata)
                return explanation_of(answer.part for answer in parts)
            except grpc.RpcError as error:
                raise error_from_rpc(error) from None

    def result(self, result_id: str, *, timeout: float | None = None) -> Analysis:
        """An earlier answer, while the mesh keeps it."""
        request = gateway_pb2.GetResultRequest(result_id=result_id)
        return analysis_of(self._call(self._stub.GetResult, request, "GetResult", timeout).result)

    def models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:
        """The models that are served."""
        return models_of(self._call(self._stub.ListModels, gateway_pb2.ListModelsRequest(), "ListModels", timeout))

    def model_card(self, model: str = "", model_version: int = 0, *, timeout: float | None = None) -> bytes:
        """One model's card: JSON, byte for byte as published."""
        request = gateway_pb2.GetModelCardRequest(model=model, model_version=model_version)
        return bytes(self._call(self._stub.GetModelCard, request, "GetModelCard", timeout).card_json)

    def _opener(self, method: str, timeout: float | None, priority: Priority | None = None) -> Callable[[Any], Any]:
        """Opens a stream of requests; its span ends with the opening, as nobody knows when the caller stops reading."""

        def start(requests: Any) -> Any:
            shown = (*authorization(self._credential), *priority_metadata(priority))
            with traced(method, self._tracers, shown) as metadata:
                return getattr(self._stub, method)(requests, timeout=timeout, metadata=metadata)

        return start

    def _deadline(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _call(
        self, method: Any, request: Any, name: str, timeout: float | None, priority: Priority | None = None
    ) -> Any:
        patience = Patience(self._deadline(timeout), self._retries)
        while True:
            shown = (*authorization(self._credential), *priority_metadata(priority))
            with traced(name, self._tracers, shown) as metadata:
                try:
                    return method(request, timeout=patience.left, metadata=metadata)
                except grpc.RpcError as error:
                    pause = patience.pause(error_from_rpc(error))
            time.sleep(pause)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class AsyncClient(AsyncCloses):
    """The same for asyncio; see ``Client`` for the arguments."""

    def __init__(
        self,
        address: str,
        *,
        credential: Credential | None = None,
        tls: TlsFiles | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: int = 0,
        tracer_provider: Any = None,
    ) -> None:
        self._channel = dial(address, tls)
        self._stub = gateway_pb2_grpc.CardioMeshStub(self._channel)
        self._timeout = timeout
        self._retries = retries
        self._tracers = tracer_provider
        self._credential = credential

    async def analyze(
        self,
        *,
        model: str = "",
        model_version: int = 0,
        bypass_cache: bool = False,
        include_signal: bool = False,
        measure: bool = False,
        setting: Setting = "",
        inference_mode: InferenceMode = "auto",
        allow_fallback: bool = False,
        priority: Priority | None = None,
        idempotency_key: str = "",
        timeout: float | None = None,  # noqa: ASYNC109 — it is the call's deadline on the wire
        **recording: Unpack[RecordingArguments],
    ) -> Analysis:
        """Analyse one recording."""
        request = _analyze_request(
            model,
            model_version,
            bypass_cache,
            include_signal,
            measure,
            setting,
            inference_mode,
            allow_fallback,
            idempotency_key,
            recording,
        )
        return analysis_of(await self._call(self._stub.Analyze, request, "Analyze", timeout, priority))

    def analyze_batch(
        self,
        recordings: Iterable[tuple[str, RecordingArguments]] | AsyncIterator[tuple[str, RecordingArguments]],
        *,
        model: str = "",
        model_version: int = 0,
        bypass_cache: bool = False,
        measure: bool = False,
        setting: Setting = "",
        inference_mode: InferenceMode = "auto",
        allow_fallback: bool = False,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[BatchItem]:
        """Analyse many recordings on one stream."""
        template = gateway_pb2.AnalyzeRequest(
            model=model,
            model_version=model_version,
            bypass_cache=bypass_cache,
            measure=measure,
            setting=setting_value(setting),
            inference_mode=mode_value(inference_mode),
            allow_fallback=allow_fallback,
        )
        return answers_async(self._opener("AnalyzeBatch", timeout, priority), template, recordings)

    def analyze_long(
        self,
        file: FileLike,
        *,
        model: str = "",
        model_version: int = 0,
        stride: float = 10.0,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[LongPart]:
        """Analyse a recording of any length."""
        start = gateway_pb2.AnalyzeLongStart(model=model, model_version=model_version, stride=stride)
        return long_parts_async(self._opener("AnalyzeLong", timeout, priority), start, file)

    def stream(
        self,
        sampling_rate: float,
        *,
        reconnect: float = 60.0,
        unsent: float = 60.0,
        priority: Priority | None = None,
        timeout: float | None = None,
        **recording: Unpack[LiveArguments],
    ) -> AsyncLiveStream:
        """Analyse leads while they are recorded."""
        outbox = live_outbox(sampling_rate, recording, unsent)
        opener = self._opener("AnalyzeStream", timeout, priority)
        return AsyncLiveStream(opener, outbox, reconnect, endless=timeout is None)

    async def explain(
        self,
        findings: str | Sequence[str],
        *,
        methods: Sequence[str] = (),
        budget: float = 0.0,
        model: str = "",
        model_version: int = 0,
        result_id: str = "",
        timeout: float | None = None,  # noqa: ASYNC109
        **recording: Unpack[RecordingArguments],
    ) -> Explanation:
        """Explain findings on a recording."""
        request = _explain_request(findings, methods, budget, model, model_version, result_id, recording)
        with traced("Explain", self._tracers, authorization(self._credential)) as metadata:
            try:
                parts: Any = self._stub.Explain(request, timeout=self._deadline(timeout), metadata=metadata)
                return explanation_of([answer.part async for answer in parts])
            except grpc.RpcError as error:
                raise error_from_rpc(error) from None

    async def result(self, result_id: str, *, timeout: float | None = None) -> Analysis:  # noqa: ASYNC109
        """An earlier answer, while the mesh keeps it."""
        request = gateway_pb2.GetResultRequest(result_id=result_id)
        return analysis_of((await self._call(self._stub.GetResult, request, "GetResult", timeout)).result)

    async def models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:  # noqa: ASYNC109
        """The models that are served."""
        request = gateway_pb2.ListModelsRequest()
        return models_of(await self._call(self._stub.ListModels, request, "ListModels", timeout))

    async def model_card(
        self,
        model: str = "",
        model_version: int = 0,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """One model's card: JSON, byte for byte as published."""
        request = gateway_pb2.GetModelCardRequest(model=model, model_version=model_version)
        return bytes((await self._call(self._stub.GetModelCard, request, "GetModelCard", timeout)).card_json)

    def _opener(self, method: str, timeout: float | None, priority: Priority | None = None) -> Callable[[Any], Any]:
        """Opens a stream of requests; its span ends with the opening, as nobody knows when the caller stops reading."""

        def start(requests: Any) -> Any:
            shown = (*authorization(self._credential), *priority_metadata(priority))
            with traced(method, self._tracers, shown) as metadata:
                return status_kept(getattr(self._stub, method)(requests, timeout=timeout, metadata=metadata))

        return start

    def _deadline(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    async def _call(
        self,
        method: Any,
        request: Any,
        name: str,
        timeout: float | None,  # noqa: ASYNC109
        priority: Priority | None = None,
    ) -> Any:
        patience = Patience(self._deadline(timeout), self._retries)
        while True:
            shown = (*authorization(self._credential), *priority_metadata(priority))
            with traced(name, self._tracers, shown) as metadata:
                try:
                    return await method(request, timeout=patience.left, metadata=metadata)
                except grpc.RpcError as error:
                    pause = patience.pause(error_from_rpc(error))
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
