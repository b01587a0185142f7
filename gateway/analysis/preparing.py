"""From a recording to what a model takes: the preprocessor asked, or what it said a moment ago."""

from __future__ import annotations

from dataclasses import dataclass

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.priority import EXPLANATION, PRIORITY_HEADER
from cardiomesh.errors import CardioMeshError, InvalidRequest
from gateway.analysis.cache import ResultCache
from gateway.analysis.keys import key_by_id, key_of_preparation
from gateway.analysis.recent import Recent
from gateway.analysis.recordings import checked, digest_of
from gateway.backends.backend import Backend
from gateway.routing import ModelFailed, Router

__all__ = ["Prepared", "Preparing", "Wish"]

Prepared = preprocessor_pb2.PrepareResponse


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants beside the findings, and where the patient is seen."""

    signal: bool = False
    measurements: bool = False
    setting: types_pb2.Setting.ValueType = types_pb2.SETTING_UNSPECIFIED
    #: Whose earlier recordings are compared; empty: none.
    subject: str = ""

    @classmethod
    def of(cls, request: gateway_pb2.AnalyzeRequest, duplicates: bool) -> Wish:
        """That of a request; raises InvalidRequest where nobody knows what is meant."""
        if request.setting not in types_pb2.Setting.values():
            raise InvalidRequest.field("setting", "is none of those that are known", "UNKNOWN")
        subject = request.recording.subject_ref if duplicates and not request.bypass_cache else ""
        return cls(request.include_signal, request.measure, request.setting, subject)


class Preparing:
    """Has recordings prepared."""

    def __init__(self, router: Router, cache: ResultCache, recent: Recent, preprocessor: Backend) -> None:
        self._router = router
        self._cache = cache
        self._recent = recent
        self._preprocessor = preprocessor
        prepare = preprocessor_pb2_grpc.PreprocessorStub(preprocessor.channel).Prepare
        self._prepare: Hop[preprocessor_pb2.PrepareRequest, Prepared] = preprocessor.hop(prepare)
        self._prepare_last: Hop[preprocessor_pb2.PrepareRequest, Prepared] = preprocessor.hop(
            prepare, [(PRIORITY_HEADER, EXPLANATION)]
        )

    async def prepared(self, recording: types_pb2.Recording, wish: Wish, card: ModelCard) -> Prepared:
        """What the model of ``card`` takes; ModelFailed where another conditioning runs than it was trained on."""
        return await self._asked(recording, wish, card, self._prepare, "")

    async def again(self, request: gateway_pb2.ExplainRequest, card: ModelCard, measure: bool) -> Prepared:
        """What is explained: the recording of the request, or the one kept with its result."""
        recording = request.recording
        if request.result_id and recording.WhichOneof("content") is None:
            sent = self._recent.get(key_by_id("recording", request.result_id), types_pb2.Recording)
            if sent is None:
                return await self._kept_tensor(request.result_id)
            recording = sent
        key = key_of_preparation(digest_of(checked(recording)), measure, card)
        prepared = self._recent.get(key, Prepared)
        if prepared is None:
            try:
                # A target of its own: preparing for explanations that is slow must not have predictions refused.
                prepared = await self._asked(recording, Wish(measurements=measure), card, self._prepare_last, "last")
            except ModelFailed as failed:
                raise failed.cause from failed
            self._recent.put(key, prepared)
        return prepared

    async def _kept_tensor(self, result_id: str) -> Prepared:
        kept = await self._cache.get(key_by_id("tensor", result_id), Prepared)
        if kept is None:
            raise InvalidRequest.field("recording", "send it again: it is kept for a moment only", "MISSING")
        return kept

    async def _asked(
        self,
        recording: types_pb2.Recording,
        wish: Wish,
        card: ModelCard,
        hop: Hop[preprocessor_pb2.PrepareRequest, Prepared],
        target: str,
    ) -> Prepared:
        onward = preprocessor_pb2.PrepareRequest(
            recording=recording,
            include_signal=wish.signal,
            measure=wish.measurements,
            may_miss=card.input.may_miss,
            fingerprint=bool(wish.subject),
        )
        onward.recording.subject_ref = ""  # nobody behind the door needs to know of whom it is
        prepared = await self._preprocessor.idempotent(hop, onward, target)
        self._router.preprocessing = prepared.preprocessing_version
        if prepared.preprocessing_version != card.input.preprocessing_version:
            raise ModelFailed(
                CardioMeshError(
                    f"{card.name} version {card.version} was trained with preprocessing "
                    f"{card.input.preprocessing_version}, but {prepared.preprocessing_version} is running"
                )
            )
        return prepared
