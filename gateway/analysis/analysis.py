"""The straight way of one analysis: choose → cache → prepare → infer → findings → keep. Knows no transport."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from google.protobuf.message import Message

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import InvalidRequest, NotFound, Unavailable
from gateway.admission import Admission, Turn
from gateway.analysis.cache import ResultCache
from gateway.analysis.flights import Flights
from gateway.analysis.idempotency import claim_of
from gateway.analysis.keys import key_by_id, key_of_answer, key_of_preparation
from gateway.analysis.leads import Leads
from gateway.analysis.preparing import Prepared, Preparing, Wish
from gateway.analysis.recent import Recent
from gateway.analysis.recordings import checked, digest_of, without_subject
from gateway.analysis.stopwatch import Stopwatch
from gateway.backends.inference import Inference
from gateway.decision import Decider
from gateway.door import current_call
from gateway.duplicates import NearDuplicates
from gateway.findings import findings
from gateway.routing import Choice, ModelFailed, Router, Trials, Wanted

__all__ = ["Analysis"]

Answer = gateway_pb2.AnalyzeResponse


class Analysis:
    """Answers Analyze and GetResult, each tenant on its own."""

    def __init__(
        self,
        router: Router,
        trials: Trials,
        cache: ResultCache,
        inference: Inference,
        preparing: Preparing,
        admission: Admission,
        recent: Recent,
        telemetry: Telemetry,
        *,
        decider: Decider | None,
        duplicates: NearDuplicates | None,
        keep_tensors: bool,
    ) -> None:
        self._router = router
        self._decider = decider
        self._duplicates = duplicates
        self._trials = trials
        self._cache = cache
        self._inference = inference
        self._admission = admission
        self._flights: Flights[Answer] = Flights()
        self._leads = Leads()
        self._preparing = preparing
        self._recent = recent
        self._telemetry = telemetry
        self._keep_tensors = keep_tensors

    async def analyze(self, request: gateway_pb2.AnalyzeRequest) -> Answer:
        """The answer to one recording; raises the typed error of whichever part could not do its share."""
        watch = Stopwatch()
        recording = checked(request.recording)
        call = current_call()
        claim = claim_of(request, call.tenant, call.ledger)
        answer = await call.repeated(claim, recording.subject_ref) if claim is not None else None
        if answer is None:
            answer = await self._analyzed(request, recording, watch)
            answer.timing.CopyFrom(watch.timing())
            if not await call.answered(answer, recording.subject_ref, claim) and claim is not None:
                answer = await call.repeated(claim, recording.subject_ref)
        if answer is None:
            raise Unavailable("the answer under this idempotency key has just been deleted; send it again")
        answer.timing.CopyFrom(watch.timing())
        return answer

    async def _analyzed(
        self, request: gateway_pb2.AnalyzeRequest, recording: types_pb2.Recording, watch: Stopwatch
    ) -> Answer:
        """The answer, before it is on record."""
        digest = digest_of(recording)
        wish = Wish.of(request, self._duplicates is not None)
        choice = self._router.choose(Wanted.of(request), current_call().tenant, digest)
        answer: Answer | None = None
        while answer is None:
            try:
                answer = await self._answer(recording, digest, wish, choice, request.bypass_cache, watch)
            except ModelFailed as failed:
                instead = await self._router.instead(choice)
                if instead is None:
                    raise failed.cause from failed
                choice = instead
        if not request.bypass_cache:
            self._recent.put(key_by_id("recording", answer.result_id), without_subject(recording))
        choice.disclose(answer)
        self._telemetry.count("routed_requests", choice.labels)
        return answer

    async def _answer(
        self, recording: types_pb2.Recording, digest: str, wish: Wish, choice: Choice, afresh: bool, watch: Stopwatch
    ) -> Answer:
        """One model's answer, this caller's own copy: computed, kept from earlier, or shared with who asks the same."""
        card = choice.model.card
        if afresh:  # nothing is read from the cache, and nothing kept
            async with self._turn(recording, wish, card) as turn:
                await turn.begin()
                prepared = await self._prepared(recording, wish, card, watch)
                return await self._decided(prepared, wish, choice, watch)
        prepared_key = key_of_preparation(digest, wish.measurements, card)

        def compute() -> Awaitable[Answer]:
            return self._answer_once(recording, prepared_key, wish, choice, watch)

        if wish.signal:  # too large to share
            return await compute()
        flight = f"{prepared_key}:{card.digest}:{wish.setting}:{wish.subject}"
        shared, mine = await self._flights.share(flight, compute)
        answer = Answer()
        answer.CopyFrom(shared)
        answer.from_cache = shared.from_cache or not mine
        return answer

    async def _answer_once(
        self, recording: types_pb2.Recording, prepared_key: str, wish: Wish, choice: Choice, watch: Stopwatch
    ) -> Answer:
        """The cache is asked before each step and told afterwards."""
        card = choice.model.card
        async with self._turn(recording, wish, card) as turn:
            prepared, earlier = None, None
            lead = f"{prepared_key}:{card.digest}:{wish.setting}"
            expected = self._leads.get(lead)
            if not wish.signal:  # signals are not kept
                with watch.hop("cache"):
                    prepared, earlier = await self._cache.get_both(prepared_key, Prepared, expected, Answer)
            if prepared is None or (wish.subject and not prepared.HasField("fingerprint")):
                await turn.begin()
                prepared = await self._prepared(recording, wish, card, watch)
            result_key = key_of_answer(prepared, card, self._circumstances(prepared, wish))
            if result_key != expected or earlier is None:
                self._leads.put(lead, result_key)
                with watch.hop("cache"):
                    earlier = await self._cache.get(result_key, Answer)
            if earlier is None and not prepared.tensor:  # the preparation was remembered, the result was not
                await turn.begin()
                prepared = await self._prepared(recording, wish, card, watch)
            if earlier is None:
                answer = await self._decided(prepared, wish, choice, watch)
            else:
                answer = _complete(earlier, prepared)
            if prepared.tensor:  # something was done that can be spared the next time
                if wish.measurements and not wish.signal:
                    self._recent.put(prepared_key, prepared)
                with watch.hop("cache"):
                    await self._keep(prepared_key, result_key, answer, prepared)
            answer.from_cache = earlier is not None
        if self._duplicates is not None and wish.subject:  # after keeping: it is of this subject alone
            with watch.hop("cache"):
                found = await self._duplicates.look(
                    current_call().tenant, wish.subject, answer.result_id, prepared.fingerprint
                )
            answer.near_duplicate_of.CopyFrom(found)
        return answer

    def _turn(self, recording: types_pb2.Recording, wish: Wish, card: ModelCard) -> Turn:
        """Its place among all that is computed, taken only where something has to be."""
        call = current_call()
        kind = ("analyze", card.name, card.version, replace(wish, subject=""), recording.ByteSize().bit_length())
        return self._admission.turn(call.priority, call.tenant, kind)

    async def _keep(self, prepared_key: str, result_key: str, answer: Answer, prepared: Prepared) -> None:
        kept_answer, kept_preparation = Answer(), Prepared()
        kept_answer.CopyFrom(answer)
        kept_answer.ClearField("signal")
        kept_preparation.CopyFrom(prepared)
        kept_preparation.ClearField("tensor")
        kept_preparation.ClearField("signal")
        entries: dict[str, Message] = {
            prepared_key: kept_preparation,
            result_key: kept_answer,
            key_by_id("id", answer.result_id): kept_answer,
        }
        if self._keep_tensors:
            kept_tensor = Prepared()
            kept_tensor.CopyFrom(prepared)
            kept_tensor.ClearField("signal")
            entries[key_by_id("tensor", answer.result_id)] = kept_tensor
        await self._cache.put(entries)

    async def predicted(self, prepared: Prepared, choice: Choice) -> Sequence[types_pb2.Finding]:
        """What the rules are held against; nothing where Triton is away or silent, because rules need no model."""
        try:
            # Half of what is left, so that a Triton which takes the question and does not answer leaves time for them.
            async with asyncio.timeout(current_budget().remaining() / 2):
                return (await self._decided(prepared, Wish(), choice, Stopwatch())).findings
        except TimeoutError:
            return ()
        except ModelFailed as failed:
            if isinstance(failed.cause, Unavailable):
                return ()
            raise failed.cause from failed

    async def result(self, result_id: str) -> gateway_pb2.GetResultResponse:
        """An earlier answer, while it is kept."""
        if not result_id:
            raise InvalidRequest.field("result_id", "must not be empty", "MISSING")
        answer = await self._cache.get(key_by_id("id", result_id), Answer) or await current_call().kept(result_id)
        if answer is None:
            if not self._cache.available and not current_call().keeps:
                raise Unavailable("earlier results cannot be reached")
            raise NotFound("no such result; results are kept for a limited time")
        answer.from_cache = True
        return gateway_pb2.GetResultResponse(result=answer)

    async def _prepared(
        self, recording: types_pb2.Recording, wish: Wish, card: ModelCard, watch: Stopwatch
    ) -> Prepared:
        with watch.hop("preprocessor"):
            return await self._preparing.prepared(recording, wish, card)

    async def _decided(self, prepared: Prepared, wish: Wish, choice: Choice, watch: Stopwatch) -> Answer:
        """The whole answer, with the decision where that is switched on."""
        answer = _complete(await self._computed(prepared, choice, watch), prepared)
        if self._decider is not None:
            self._decider.decide(answer, choice.model.card, wish.setting)
        return answer

    def _circumstances(self, prepared: Prepared, wish: Wish) -> str:
        """What beside recording and model the decision depends on; empty where nothing is decided."""
        if self._decider is None:
            return ""
        return self._decider.context(prepared.quality, prepared.recording.patient, wish.setting, wish.measurements)

    async def _computed(self, prepared: Prepared, choice: Choice, watch: Stopwatch) -> Answer:
        model = choice.model
        with watch.hop("triton"), self._trials.inferring(choice):
            logits = await self._inference.logits(model.card, prepared.tensor, len(prepared.window_starts))
        found = list(findings(model.card, logits))
        self._trials.compare(choice, prepared.tensor, len(prepared.window_starts), found)
        answer = Answer(
            result_id=secrets.token_hex(16),
            model=model.ref,
            findings=found,
            preprocessing_version=prepared.preprocessing_version,
            signal_hash=prepared.signal_hash,
            tensor_hash=prepared.tensor_hash,
            window_starts=prepared.window_starts,
        )
        answer.computed_at.GetCurrentTime()
        choice.disclose(answer)
        return answer


def _complete(answer: Answer, prepared: Prepared) -> Answer:
    """The answer with what the preparation of this very request found."""
    answer.quality.CopyFrom(prepared.quality)
    answer.recording.CopyFrom(prepared.recording)
    del answer.measurements[:]
    answer.measurements.extend(prepared.measurements)
    if prepared.HasField("signal"):
        answer.signal.CopyFrom(prepared.signal)
    return answer
