"""One look at a mesh, from a caller's side of the door."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cardiomesh.client import Client
from cardiomesh.errors import CardioMeshError
from cardiomesh.watch.baseline import Baseline
from cardiomesh.watch.known import RATE_HZ, known_ecg

__all__ = ["Check", "Report", "look"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    #: What is wrong, in words; empty when nothing is.
    wrong: str
    milliseconds: float
    #: What was seen.
    seen: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


@dataclass(frozen=True, slots=True)
class Report:
    """All of one look."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is well."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


class _Wrong(Exception):
    """A check's own finding."""


def look(
    client: Client, baseline: Baseline, *, model: str = "", slower_than_ms: float = 2000.0, with_cache: bool = True
) -> Report:
    """Ask for the models, send the known ECG through the whole path, have the answer explained.

    A check that needs what an earlier one could not get is left out: the earlier one says what is wrong.
    """
    checks: list[Check] = []

    def check(name: str, work: Callable[[], str]) -> bool:
        started = time.perf_counter()
        seen = wrong = ""
        try:
            seen = work()
        except _Wrong as finding:
            wrong = str(finding)
        except CardioMeshError as error:
            wrong = f"{error.reason}: {error}"
        checks.append(Check(name, wrong, (time.perf_counter() - started) * 1e3, seen))
        return not wrong

    signal: dict[str, Any] = {"signal": known_ecg(), "sampling_rate": RATE_HZ, "unit": "mV"}

    def models() -> str:
        served = client.models()
        away = [f"{info.model.name}:{info.model.version}" for info in served if not info.ready]
        if away or not served:
            raise _Wrong(f"not ready: {', '.join(away)}" if away else "no model is served")
        return f"{len(served)} ready"

    def analysis() -> str:
        started = time.perf_counter()
        answer = client.analyze(**signal, model=model, bypass_cache=True)
        milliseconds = (time.perf_counter() - started) * 1e3
        different = baseline.compare(answer)
        if different:
            raise _Wrong(f"{answer.model.name} version {answer.model.version} answers differently: {different}")
        if milliseconds > slower_than_ms:
            raise _Wrong(f"it took {milliseconds:.0f} ms, more than {slower_than_ms:.0f}")
        code = max(answer.probabilities, key=lambda code: answer.probabilities[code])
        return f"{answer.model.name} version {answer.model.version}: {code} {answer.probabilities[code]:.3f}"

    def cache() -> str:
        client.analyze(**signal, model=model)
        if not client.analyze(**signal, model=model).from_cache:
            raise _Wrong("the same ECG twice was computed twice: is the cache away?")
        return "the same ECG again came from it"

    def explanation() -> str:
        answer = client.analyze(**signal, model=model)
        code = max(answer.probabilities, key=lambda code: answer.probabilities[code])
        name, version = answer.model.name, answer.model.version
        why = client.explain(code, methods=["gradient_x_input"], model=name, model_version=version, **signal)
        if not why.attributions:
            raise _Wrong(f"no explanation of {code} came")
        return f"{code} explained"

    check("models", models)
    if check("analysis", analysis):
        if with_cache:
            check("cache", cache)
        check("explanation", explanation)
    return Report(tuple(checks))
