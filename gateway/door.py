"""The gateway's door, for gRPC and HTTP alike: nobody gets past it unknown, and what they do is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.interceptor import Peer
from cardiomesh.errors import Cancelled, CardioMeshError, DeadlineExceeded, PermissionDenied
from gateway.admission import Admission, Priority, priority_of
from gateway.analysis.idempotency import earlier_answer
from gateway.identity import AUDITED, STREAMS, Authenticator, Caller, permit
from gateway.store import AuditRecord, Claim, Entry, Ledger, StoredAnswer

__all__ = ["Call", "Door", "current_call", "enter_own_call"]


@dataclass(slots=True)
class Call:
    """One call in progress: whose it is, and what of it has been written down."""

    caller: Caller
    method: str
    ledger: Ledger | None
    priority: Priority = Priority.ROUTINE
    #: The model that was asked, where no answer names it.
    model: str = ""
    model_version: int = 0
    #: The earlier result that it is about.
    result_id: str = ""
    #: What was decided about it, and why; of an explanation, what was told.
    detail: str = ""
    recorded: bool = False

    @property
    def tenant(self) -> str:
        """Whose results these are."""
        return self.caller.tenant

    @property
    def keeps(self) -> bool:
        """Whether answers outlive the cache."""
        return self.ledger is not None

    async def kept(self, result_id: str) -> gateway_pb2.AnalyzeResponse | None:
        """An answer of this tenant from the store; Unavailable when it cannot be asked."""
        if self.ledger is None:
            return None
        found = await self.ledger.answer(self.tenant, result_id)
        return None if found is None else gateway_pb2.AnalyzeResponse.FromString(found)

    async def answered(self, answer: gateway_pb2.AnalyzeResponse, subject_ref: str, claim: Claim | None = None) -> bool:
        """Return when the audit record of an answer, and the answer itself, are durable; only then may it be given.

        False when it may not: another call with the same claim had its answer first, and ``repeated`` is that.
        """
        self.recorded = True
        if self.ledger is None:
            return True
        record = AuditRecord(
            caller=self.caller.name,
            tenant=self.tenant,
            proof=self.caller.proof,
            method=self.method,
            outcome="OK",
            subject=self.ledger.pseudonyms.lookup(self.tenant, subject_ref),
            model=answer.model.name,
            model_version=answer.model.version,
            card_digest=answer.model.card_digest,
            result_id=answer.result_id,
            from_cache=answer.from_cache or answer.replayed,
        )
        keep = claim is not None or not record.from_cache
        return await self.ledger.write(Entry(record, _stored(answer) if keep else None, claim))

    async def repeated(self, claim: Claim, subject_ref: str) -> gateway_pb2.AnalyzeResponse | None:
        """The answer that a claim's request got the first time, on record as given once more; None for the first."""
        answer = await earlier_answer(claim, self.ledger) if self.ledger is not None else None
        if answer is not None:
            await self.answered(answer, subject_ref)
        return answer

    def refused(self, reason: str) -> None:
        """Write down that one item of a stream had an error; its answer is not held back for that."""
        if self.ledger is not None:
            self.ledger.submit(self.record(reason))

    def record(self, outcome: str) -> Entry:
        """What is written of a call that gave no answer on a recording."""
        return Entry(
            AuditRecord(
                caller=self.caller.name,
                tenant=self.tenant,
                proof=self.caller.proof,
                method=self.method,
                outcome=outcome,
                model=self.model,
                model_version=self.model_version,
                result_id=self.result_id,
                detail=self.detail,
            )
        )

    async def begin(self) -> None:
        """Write down what is about to be changed; it may be changed only when that is durable."""
        if self.ledger is not None:
            await self.ledger.write(self.record("STARTED"))


def _stored(answer: gateway_pb2.AnalyzeResponse) -> StoredAnswer:
    kept = gateway_pb2.AnalyzeResponse()
    kept.CopyFrom(answer)
    kept.ClearField("signal")
    return StoredAnswer(
        result_id=answer.result_id,
        signal_hash=answer.signal_hash,
        model=answer.model.name,
        model_version=answer.model.version,
        computed_at=answer.computed_at.ToJsonString().replace("Z", "+00:00"),
        answer=kept.SerializeToString(),
    )


_call: ContextVar[Call] = ContextVar("cardiomesh_call")


def current_call() -> Call:
    """The call being served; LookupError outside of one."""
    return _call.get()


def enter_own_call(method: str, ledger: Ledger | None) -> Call:
    """A call that nobody makes but the gateway itself; it becomes the current one."""
    call = Call(Caller("gateway", "", frozenset(), "internal"), method, ledger)
    _call.set(call)
    return call


class Door:
    """Authenticates, authorises and records every call."""

    def __init__(self, authenticator: Authenticator, ledger: Ledger | None, admission: Admission) -> None:
        self._authenticator = authenticator
        self._ledger = ledger
        self.knock = admission.knock

    def enter(self, method: str, metadata: Mapping[str, str], peer: Peer) -> AbstractAsyncContextManager[None]:
        """Surround one call of ``method`` (``/package.Service/Method``); raises Unauthenticated or PermissionDenied.

        A call of which nothing is known to have been recorded is recorded before it may end well. One that fails is
        recorded too, but its error is not held back for that. Callers who are nobody leave no record: a flood of them
        would be a flood of records.
        """
        return _Visit(self, method, metadata, peer)

    async def begin(self, method: str, metadata: Mapping[str, str], peer: Peer) -> Call:
        """Let the caller in, and make the call the current one."""
        call = Call(await self._authenticator.caller(metadata, peer), method, self._ledger)
        try:
            permit(call.caller, method)
            call.priority = priority_of(call.caller, method, metadata)
            _call.set(call)
            if method in STREAMS:
                await self._write(call, "STARTED")
        except BaseException as error:
            self.failed(call, error)
            raise
        return call

    async def succeeded(self, call: Call) -> None:
        """Return when what was done is on record."""
        if not call.recorded or call.method in STREAMS:
            await self._write(call, "OK")

    def failed(self, call: Call, error: BaseException) -> None:
        """Have it recorded."""
        outcome = _outcome(error)
        if self._ledger is not None and (call.method in AUDITED or outcome == PermissionDenied.reason):
            self._ledger.submit(call.record(outcome))

    async def _write(self, call: Call, outcome: str) -> None:
        if self._ledger is not None and call.method in AUDITED:
            await self._ledger.write(call.record(outcome))


class _Visit(AbstractAsyncContextManager[None]):
    """One call on its way through the door and back."""

    __slots__ = ("_call", "_door", "_metadata", "_method", "_peer")

    def __init__(self, door: Door, method: str, metadata: Mapping[str, str], peer: Peer) -> None:
        self._door = door
        self._method = method
        self._metadata = metadata
        self._peer = peer

    async def __aenter__(self) -> None:
        self._call = await self._door.begin(self._method, self._metadata, self._peer)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self._door.succeeded(self._call)
        else:
            self._door.failed(self._call, error)


def _outcome(error: BaseException) -> str:
    if isinstance(error, CardioMeshError):
        return error.reason
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return Cancelled.reason if current_budget().remaining() > 0 else DeadlineExceeded.reason
    return DeadlineExceeded.reason if isinstance(error, TimeoutError) else CardioMeshError.reason
