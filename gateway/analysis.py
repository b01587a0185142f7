"""The straight way of one analysis: cache → prepare → infer → findings → keep. Knows no transport."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, Unavailable
from gateway.backend import Backend
from gateway.cache import ResultCache, cache_key
from gateway.catalogue import Catalogue, Model
from gateway.door import current_call
from gateway.findings import findings
from gateway.flights import Flights
from gateway.inference import Inference

__all__ = ["Analysis"]

MAX_SUBJECT_REF: Final = 128
Prepared = preprocessor_pb2.PrepareResponse
Answer = gateway_pb2.AnalyzeResponse


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a caller wants of the preparation, beside the tensor."""

    signal: bool = False
    measurements: bool = False


class _Stopwatch:
    """Collects the time of each hop of one call."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._hops: list[types_pb2.HopTiming] = []

    @contextmanager
    def hop(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._hops.append(types_pb2.HopTiming(hop=name, milliseconds=(time.perf_counter() - started) * 1e3))

    def timing(self) -> types_pb2.Timing:
        return types_pb2.Timing(total_milliseconds=(time.perf_counter() - self._started) * 1e3, hops=self._hops)


def _recording_digest(recording: types_pb2.Recording) -> str:
    """sha256 over all that the preprocessor sees: the same request again needs no second decoding."""
    seen = types_pb2.Recording()
    seen.CopyFrom(recording)
    seen.subject_ref = ""
    return hashlib.sha256(seen.SerializeToString(deterministic=True)).hexdigest()


class Analysis:
    """Answers Analyze and GetResult, each tenant on its own."""

    def __init__(
        self,
        catalogue: Catalogue,
        cache: ResultCache,
        inference: Inference,
        preprocessor: Backend,
        telemetry: Telemetry,
        *,
        keep_tensors: bool,
    ) -> None:
        self._catalogue = catalogue
        self._cache = cache
        self._inference = inference
        self._flights: Flights[Answer] = Flights()
        self._preprocessor = preprocessor
        self._prepare: Hop[preprocessor_pb2.PrepareRequest, Prepared] = preprocessor.hop(
            preprocessor_pb2_grpc.PreprocessorStub(preprocessor.channel).Prepare
        )
        self._keep_tensors = keep_tensors

    async def analyze(self, request: gateway_pb2.AnalyzeRequest) -> Answer:
        """The answer to one recording; raises the typed error of whichever part could not do its share."""
        watch = _Stopwatch()
        recording = _recording(request.recording)
        model = self._catalogue.resolve(request.model, request.model_version)
        wish = _Wish(request.include_signal, request.measure)
        if request.bypass_cache:
            answer = await self._answer_afresh(recording, wish, model, watch)
        else:
            prepared_key = self._prepared_key(recording, wish, model)

            def compute() -> Awaitable[Answer]:
                return self._answer(recording, prepared_key, wish, model, watch)

            if wish.signal:  # too large to share
                answer = await compute()
            else:
                shared, mine = await self._flights.share(f"{prepared_key}:{model.card.digest}", compute)
                answer = Answer()
                answer.CopyFrom(shared)
                answer.from_cache = shared.from_cache or not mine
        answer.timing.CopyFrom(watch.timing())
        await current_call().answered(answer, recording.subject_ref)
        return answer

    async def _answer_afresh(
        self, recording: types_pb2.Recording, wish: _Wish, model: Model, watch: _Stopwatch
    ) -> Answer:
        """Prepared and computed, with nothing read from the cache and nothing kept."""
        prepared = await self._prepared(recording, wish, model.card, watch)
        return _complete(await self._computed(prepared, model, watch), prepared)

    async def _answer(
        self, recording: types_pb2.Recording, prepared_key: str, wish: _Wish, model: Model, watch: _Stopwatch
    ) -> Answer:
        """The same, with the cache asked before each step and told afterwards."""
        prepared = None
        if not wish.signal:  # signals are not kept
            with watch.hop("cache"):
                prepared = await self._cache.get(prepared_key, Prepared)
        if prepared is None:
            prepared = await self._prepared(recording, wish, model.card, watch)
        result_key = self._result_key(prepared, model)
        with watch.hop("cache"):
            earlier = await self._cache.get(result_key, Answer)
        if earlier is None and not prepared.tensor:  # the preparation was remembered, the result was not
            prepared = await self._prepared(recording, wish, model.card, watch)
        answer = _complete(earlier or await self._computed(prepared, model, watch), prepared)
        if prepared.tensor:  # something was done that can be spared the next time
            kept_answer, kept_preparation = Answer(), Prepared()
            kept_answer.CopyFrom(answer)
            kept_answer.ClearField("signal")
            kept_preparation.CopyFrom(prepared)
            kept_preparation.ClearField("tensor")
            kept_preparation.ClearField("signal")
            entries: dict[str, Message] = {
                prepared_key: kept_preparation,
                result_key: kept_answer,
                self._id_key(answer.result_id): kept_answer,
            }
            if self._keep_tensors:
                kept_tensor = Prepared()
                kept_tensor.CopyFrom(prepared)
                kept_tensor.ClearField("signal")
                entries[self._tensor_key(answer.result_id)] = kept_tensor
            with watch.hop("cache"):
                await self._cache.put(entries)
        answer.from_cache = earlier is not None
        return answer

    async def prepare_again(self, request: gateway_pb2.ExplainRequest, model: Model, measure: bool) -> Prepared:
        """What is explained: the recording of the request, or the one kept with its result."""
        if request.recording.WhichOneof("content") is None and request.result_id:
            kept = await self._cache.get(self._tensor_key(request.result_id), Prepared)
            if kept is None:
                raise InvalidRequest.field(
                    "recording", "send it again: this result's was not kept (CARDIOMESH_KEEP_TENSORS)", "MISSING"
                )
            return kept
        recording = _recording(request.recording)
        return await self._prepared(recording, _Wish(measurements=measure), model.card, _Stopwatch())

    async def predicted(self, prepared: Prepared, model: Model) -> Sequence[types_pb2.Finding]:
        """What the rules are held against; nothing where Triton is away, because rules need no model."""
        try:
            return (await self._computed(prepared, model, _Stopwatch())).findings
        except Unavailable:
            return ()

    async def result(self, result_id: str) -> gateway_pb2.GetResultResponse:
        """An earlier answer, while it is kept."""
        if not result_id:
            raise InvalidRequest.field("result_id", "must not be empty", "MISSING")
        answer = await self._cache.get(self._id_key(result_id), Answer) or await current_call().kept(result_id)
        if answer is None:
            if not self._cache.available and not current_call().keeps:
                raise Unavailable("earlier results cannot be reached")
            raise NotFound("no such result; results are kept for a limited time")
        answer.from_cache = True
        return gateway_pb2.GetResultResponse(result=answer)

    async def _prepared(
        self, recording: types_pb2.Recording, wish: _Wish, card: ModelCard, watch: _Stopwatch
    ) -> Prepared:
        onward = preprocessor_pb2.PrepareRequest(
            recording=recording,
            include_signal=wish.signal,
            measure=wish.measurements,
            may_miss=card.input.may_miss,
        )
        onward.recording.subject_ref = ""  # nobody behind the door needs to know of whom it is
        with watch.hop("preprocessor"):
            prepared = await self._preprocessor.idempotent(self._prepare, onward)
        if prepared.preprocessing_version != card.input.preprocessing_version:
            raise CardioMeshError(
                f"{card.name} version {card.version} was trained with preprocessing "
                f"{card.input.preprocessing_version}, but {prepared.preprocessing_version} is running"
            )
        return prepared

    async def _computed(self, prepared: Prepared, model: Model, watch: _Stopwatch) -> Answer:
        with watch.hop("triton"):
            logits = await self._inference.logits(model.card, prepared.tensor, len(prepared.window_starts))
        answer = Answer(
            result_id=secrets.token_hex(16),
            model=model.ref,
            findings=findings(model.card, logits),
            preprocessing_version=prepared.preprocessing_version,
            signal_hash=prepared.signal_hash,
            tensor_hash=prepared.tensor_hash,
            window_starts=prepared.window_starts,
        )
        answer.computed_at.GetCurrentTime()
        return answer

    def _prepared_key(self, recording: types_pb2.Recording, wish: _Wish, model: Model) -> str:
        # What one model's card lets pass is not prepared for another.
        kind = ("measured" if wish.measurements else "prep") + "".join(sorted(model.card.input.may_miss))
        version = model.card.input.preprocessing_version
        return cache_key(current_call().tenant, kind, version, _recording_digest(recording))

    def _result_key(self, prepared: Prepared, model: Model) -> str:
        return cache_key(
            current_call().tenant,
            "result",
            prepared.preprocessing_version,
            model.card.name,
            model.card.version,
            model.card.digest,
            prepared.signal_hash,
        )

    def _id_key(self, result_id: str) -> str:
        return cache_key(current_call().tenant, "id", hashlib.sha256(result_id.encode()).hexdigest())

    def _tensor_key(self, result_id: str) -> str:
        return cache_key(current_call().tenant, "tensor", hashlib.sha256(result_id.encode()).hexdigest())


def _complete(answer: Answer, prepared: Prepared) -> Answer:
    """The answer with what the preparation of this very request found."""
    answer.quality.CopyFrom(prepared.quality)
    answer.recording.CopyFrom(prepared.recording)
    del answer.measurements[:]
    answer.measurements.extend(prepared.measurements)
    if prepared.HasField("signal"):
        answer.signal.CopyFrom(prepared.signal)
    return answer


def _recording(recording: types_pb2.Recording) -> types_pb2.Recording:
    if recording.WhichOneof("content") is None:
        raise InvalidRequest.field("recording", "send a signal or a file", "MISSING")
    if len(recording.subject_ref) > MAX_SUBJECT_REF:
        raise InvalidRequest.field("recording.subject_ref", f"is longer than {MAX_SUBJECT_REF} characters", "TOO_LONG")
    return recording
