"""What leaves a stream, as messages: each with the token that takes the recording up again right after it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.telemetry import Telemetry
from gateway.live.alarms import Alarms, Raised
from gateway.live.form import Form
from gateway.live.stream import Skipped, Windowed
from gateway.live.tokens import Standing, TokenMint
from gateway.live.windows import Settled

__all__ = ["Delivery"]

Part = gateway_pb2.AnalyzeStreamResponse
_SKIPPED: Final = {
    gateway_pb2.SKIP_REASON_BEHIND: "behind",
    gateway_pb2.SKIP_REASON_GAP: "gap",
}


class Delivery:
    """Counts what was delivered and moves the alarms on, so that a token never says more than the client has."""

    def __init__(
        self, form: Form, standing: Standing, measure: bool, mint: TokenMint, tenant: str, telemetry: Telemetry
    ) -> None:
        self._form = form
        self._standing = standing
        self._measure = measure
        self._mint = mint
        self._tenant = tenant
        self._telemetry = telemetry
        self._settled = Settled(standing.low, standing.above)
        self._alarms = Alarms(form.alarms, standing.alarms)
        self._counts: Counter[str] = Counter()

    def started(self, *, resumed: bool) -> Part:
        """The first message."""
        return self._part(
            started=gateway_pb2.StreamStarted(
                model=types_pb2.ModelRef(
                    name=self._standing.model,
                    version=self._standing.model_version,
                    card_digest=self._standing.card_digest,
                ),
                window_samples=self._form.length,
                stride_samples=self._form.step,
                resumed=resumed,
                active_alarms=self._active(),
            )
        )

    def said(self, item: Windowed | Skipped) -> Part:
        """What became of one window, or of several."""
        return self._skipped(item) if isinstance(item, Skipped) else self._window(item)

    def ended(self, reason: gateway_pb2.EndReason.ValueType, duplicates: int, unused: int) -> Part:
        """The last message of a stream that does not fail."""
        return self._part(
            end=gateway_pb2.StreamEnd(
                reason=reason,
                answered=self._counts["answered"],
                refused=self._counts["refused"],
                skipped=self._counts["behind"] + self._counts["gap"],
                duplicate_samples=duplicates,
                unused_samples=unused,
            )
        )

    def _window(self, item: Windowed) -> Part:
        self._settled.add(item.index, item.index + 1)
        begun, ended = self._alarms.see(item.index, item.judgement)
        window = gateway_pb2.StreamWindow(
            index=item.index,
            first_sample=item.index * self._form.step,
            start=self._seconds(item.index),
            critical=bool(item.judgement.shown),
            alarms=[
                *self._events(begun, gateway_pb2.ALARM_STATE_RAISED),
                *self._events(ended, gateway_pb2.ALARM_STATE_CLEARED),
            ],
            active_alarms=self._active(),
        )
        if isinstance(item.outcome, types_pb2.ItemError):
            window.error.CopyFrom(item.outcome)
            self._count("refused")
        else:
            window.answer.CopyFrom(item.outcome)
            if not self._measure:
                window.answer.ClearField("measurements")
            self._count("answered")
        for alarm in begun:
            self._telemetry.count("live_alarms", {"cardiomesh.finding": alarm.code})
        self._telemetry.observe("live_delay", (time.monotonic() - item.complete) * 1e3)
        return self._part(window=window)

    def _skipped(self, item: Skipped) -> Part:
        self._settled.add(item.first, item.after)
        self._count(_SKIPPED[item.reason], item.after - item.first)
        return self._part(
            skipped=gateway_pb2.StreamSkipped(
                reason=item.reason,
                first_index=item.first,
                last_index=item.after - 1,
                start=self._seconds(item.first),
                end=self._seconds(item.after - 1) + self._form.length / self._form.rate,
            )
        )

    def _count(self, outcome: str, windows: int = 1) -> None:
        self._counts[outcome] += windows
        self._telemetry.count("live_windows", {"cardiomesh.outcome": outcome}, windows)

    def _events(
        self, alarms: Iterable[Raised], state: gateway_pb2.AlarmState.ValueType
    ) -> Iterator[gateway_pb2.StreamAlarm]:
        for alarm in alarms:
            yield gateway_pb2.StreamAlarm(
                code=alarm.code,
                name=alarm.name,
                name_pt=alarm.name_pt,
                state=state,
                onset=self._seconds(alarm.onset),
            )

    def _active(self) -> list[str]:
        return [alarm.code for alarm in self._alarms.active]

    def _seconds(self, index: int) -> float:
        return index * self._form.step / self._form.rate

    def _part(
        self,
        *,
        started: gateway_pb2.StreamStarted | None = None,
        window: gateway_pb2.StreamWindow | None = None,
        skipped: gateway_pb2.StreamSkipped | None = None,
        end: gateway_pb2.StreamEnd | None = None,
    ) -> Part:
        now = Standing(
            self._standing.model,
            self._standing.model_version,
            self._standing.card_digest,
            self._settled.low,
            tuple(self._settled.above),
            self._alarms.active,
        )
        return Part(
            started=started,
            window=window,
            skipped=skipped,
            end=end,
            resumption_token=self._mint.mint(now, self._tenant, self._form.digest),
            next_sample=self._settled.low * self._form.step,
        )
