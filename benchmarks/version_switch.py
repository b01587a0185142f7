"""Versions come and go under load, and nobody's request fails.

Run by ``make bench-version-switch``. The embedded mesh serves a copy of ``hybrid_mobile``. While callers send
recordings without a pause, version 3 (the same network under another number) is put beside version 2, loaded, tried on
a tenth of the recordings, promoted, rolled back, promoted again, and version 2 is unloaded. Then version 4 is tried,
whose card calls every statement present: the gateway has to take it back by itself. Prints what each step's requests
came to, and ends with an error unless none has failed and each step was answered by the versions it allows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh._proto.gateway.v1 import (
    gateway_pb2,
    gateway_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    routing_pb2,
)
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.local import Mesh
from cardiomesh.rpc.channel import dial

NAME: Final = "hybrid_mobile"
OLD, NEW, BAD = 2, 3, 4
_LONGEST_TRIAL_S: Final = 120.0
PARTS: Final = ("triton", "redis", "preprocessor", "gateway")
#: Both what callers and what operators may do, on loopback.
ENVIRONMENT: Final = {"CARDIOMESH_ANONYMOUS_ROLES": '["clinician", "operator"]'}


@dataclass
class Step:
    """What the requests that ended during one step came to."""

    name: str
    allowed: frozenset[int]
    versions: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        by_version = ", ".join(f"v{version}: {count}" for version, count in sorted(self.versions.items()))
        p99 = f"{np.percentile(self.milliseconds, 99):.0f}" if self.milliseconds else "–"
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(self.reasons.items()))
        return (
            f"{self.name:<34} {sum(self.versions.values()):>7} answered ({by_version or 'none'})  "
            f"failed {sum(self.failed.values())} {dict(self.failed) or ''}  p99 {p99} ms  {why}"
        )


def copy_of_model(source: Path, target: Path) -> None:
    """A repository with one version of one model."""
    (target / NAME / str(OLD)).mkdir(parents=True)
    shutil.copy(source / NAME / "config.pbtxt", target / NAME)
    publish(source / NAME / str(OLD), target / NAME / str(OLD), OLD)


def publish(source: Path, target: Path, version: int, *, spoilt: bool = False) -> None:
    """Put a version into a repository as the publisher does: whole in a scratch folder, then moved to its place.

    Only the number changes and, where it is ``spoilt``, every threshold becomes 0. Triton reads the repository when it
    is told to, and so never sees half of it.
    """
    scratch = target.parent / "being-published"
    scratch.mkdir()
    card = json.loads((source / "card.json").read_bytes())
    own = f"{NAME}/{card['version']}/"
    card["artifacts"] = {
        f"{NAME}/{version}/{key.removeprefix(own)}": value
        for key, value in card["artifacts"].items()
        if key.startswith(own)
    }
    card |= {"version": version, "attribution": None}
    if spoilt:
        for statement in (statement for head in card["heads"] for statement in head["classes"]):
            statement["threshold"] = 0.0
    (scratch / "card.json").write_text(json.dumps(card))
    for file in source.iterdir():
        if file.suffix in (".onnx", ".bin"):
            shutil.copy(file, scratch)
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def recordings(count: int, seed: int) -> list[gateway_pb2.AnalyzeRequest]:
    """Different recordings, so that each falls to an arm of its own; a synthetic beat, because no answer is judged."""
    draw = np.random.default_rng(seed)
    time_s = np.arange(5000) / 500
    beat = np.exp(-(((time_s % 0.8) - 0.4) ** 2) / (2 * 0.012**2))
    made = []
    for _ in range(count):
        noise = draw.normal(0.0, 0.02, (12, time_s.size))
        signal = (1000 * (np.linspace(0.4, 1.2, 12)[:, None] * beat + noise)).astype("<i2")
        request = gateway_pb2.AnalyzeRequest()
        request.recording.signal.MergeFrom(
            type(request.recording.signal)(
                leads=STANDARD_LEADS, sampling_rate=500, unit="uV", samples=signal.tobytes(), sample_type=1
            )
        )
        made.append(request)
    return made


class Rehearsal:
    """Callers without a pause, and the operator's steps between them."""

    def __init__(self, mesh: Mesh, callers: int, seconds: float) -> None:
        self._mesh = mesh
        self._callers = callers
        self._seconds = seconds
        self._over = False
        self.steps: list[Step] = []

    async def run(self, source: Path) -> None:
        """All steps; afterwards ``steps`` says what happened."""
        async with dial(self._mesh.addresses.gateway) as channel:
            admin = model_admin_pb2_grpc.ModelAdminStub(channel)
            triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            stub = gateway_pb2_grpc.CardioMeshStub(channel)
            self._begin("first requests", {OLD})
            callers = [asyncio.create_task(self._call(stub, number)) for number in range(self._callers)]
            try:
                await self._steps(admin, triton, source)
            finally:
                self._over = True
                await asyncio.gather(*callers)

    async def _steps(self, admin: Any, triton: Any, source: Path) -> None:
        both, old, new = {OLD, NEW}, {OLD}, {NEW}
        place = self._mesh.model_repository / NAME

        async def load() -> None:
            await triton.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name=NAME))

        def to(version: int) -> model_admin_pb2.PromoteRequest:
            target = model_admin_pb2.Target(version=version)
            return model_admin_pb2.PromoteRequest(name=NAME, target=target, reason="rehearsal")

        canary = model_admin_pb2.SetCanaryRequest(
            name=NAME, target=model_admin_pb2.Target(version=NEW), share=0.1, reason="rehearsal"
        )
        await admin.Promote(to(OLD))
        await self._through("version 2 is what is promoted", old, None)
        await asyncio.to_thread(publish, source / NAME / str(OLD), place / str(NEW), NEW)
        await self._through("version 3 is loaded", old, load)
        await self._through("canary: 3 gets a tenth", both, lambda: admin.SetCanary(canary))
        await self._through("3 is promoted", both, lambda: admin.Promote(to(NEW)), then=new)
        await self._through(
            "rolled back to 2", both, lambda: admin.Rollback(model_admin_pb2.RollbackRequest(name=NAME)), then=old
        )
        await self._through("3 is promoted again", both, lambda: admin.Promote(to(NEW)), then=new)
        await asyncio.to_thread(shutil.rmtree, place / str(OLD))
        await self._through("2 is unloaded", new, load)
        ready = await triton.ModelReady(service_pb2.ModelReadyRequest(name=NAME, version=str(OLD)))
        if ready.ready:
            self.steps[-1].failed["version 2 was to be unloaded, and is ready"] += 1
        await asyncio.to_thread(publish, source / NAME / str(OLD), place / str(BAD), BAD, spoilt=True)
        await self._through("4, a bad one, is loaded", new, load)
        await self._through("4 is tried and taken back", {NEW, BAD}, lambda: self._tried(admin), then=new)

    async def _tried(self, admin: Any) -> None:
        """Return when the gateway has ended the trial of the bad version."""
        target = model_admin_pb2.Target(version=BAD)
        await admin.SetCanary(model_admin_pb2.SetCanaryRequest(name=NAME, target=target, share=0.3))
        for _ in range(int(_LONGEST_TRIAL_S * 10)):
            if not (await self._route(admin)).HasField("canary"):
                return
            await asyncio.sleep(0.1)
        self.steps[-1].failed["the bad version was not taken back"] += 1

    @staticmethod
    async def _route(admin: Any) -> model_admin_pb2.Route:
        answer = await admin.GetRoutes(model_admin_pb2.GetRoutesRequest(name=NAME))
        route: model_admin_pb2.Route = answer.routes[0]
        return route

    async def _through(
        self, name: str, allowed: set[int], act: Callable[[], Awaitable[Any]] | None, then: set[int] | None = None
    ) -> None:
        """One step: until it is done, requests under way may still be answered as before."""
        if act is not None:
            self._begin(f"{name} (meanwhile)", allowed)
            await act()
            await asyncio.sleep(1.0)  # calls that were chosen before come to their end
        self._begin(name, then or allowed)
        await asyncio.sleep(self._seconds)

    def _begin(self, name: str, allowed: set[int]) -> None:
        if self.steps:
            print(self.steps[-1], flush=True)
        self.steps.append(Step(name, frozenset(allowed)))

    async def _call(self, stub: Any, number: int) -> None:
        requests = recordings(40, seed=number)
        position = 0
        while not self._over:
            request = requests[position % len(requests)]
            # Half are asked afresh, half may come from the cache, as in a hospital.
            request.bypass_cache = bool(position // len(requests) % 2)
            position += 1
            began = time.perf_counter()
            try:
                answer = await stub.Analyze(request, timeout=30)
            except grpc.RpcError as error:
                self.steps[-1].failed[f"{error.code().name}: {error.details()}"] += 1
                continue
            step = self.steps[-1]
            step.milliseconds.append((time.perf_counter() - began) * 1e3)
            step.versions[answer.model.version] += 1
            if answer.HasField("routing"):
                reason = routing_pb2.RoutingReason.Name(answer.routing.reason)
                step.reasons[reason.removeprefix("ROUTING_REASON_").lower()] += 1


def wrong(steps: Sequence[Step]) -> list[str]:
    """What should not have been."""
    found = [f"{step.name}: {count} failed: {why}" for step in steps for why, count in step.failed.items()]
    for step in steps:
        strangers = set(step.versions) - step.allowed
        if strangers:
            found.append(f"{step.name}: answered by {sorted(strangers)}")
    tried = sum(step.versions[NEW] for step in steps if step.name.startswith("canary"))
    if not tried:
        found.append("the canary has answered nothing")
    return found


def rehearse(source: Path, callers: int, seconds: float) -> list[Step]:
    """The whole rehearsal on a mesh of its own."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        copy_of_model(source, repository)
        with Mesh(repository, directory=Path(folder) / "mesh", parts=PARTS, environment=ENVIRONMENT) as mesh:
            rehearsal = Rehearsal(mesh, callers, seconds)
            asyncio.run(rehearsal.run(source))
            return rehearsal.steps


def main() -> None:
    """Rehearse, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each step")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {options.callers} callers without a pause, {options.seconds:g} s each step")
    steps = rehearse(options.repository.resolve(), options.callers, options.seconds)
    print(steps[-1])
    total = sum(sum(step.versions.values()) + sum(step.failed.values()) for step in steps)
    failed = sum(sum(step.failed.values()) for step in steps)
    print(f"{total} requests, {failed} failed")
    problems = wrong(steps)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
