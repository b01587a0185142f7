"""Sends broken requests to every RPC: under atheris guided by the gateway's own branches, or seeded without it.

``python -m tests.fuzz.rpcs ADDRESSES SECONDS SEED REPORT`` serves a gateway in this process, in front of the running
mesh's other parts, so that libFuzzer sees which branches a request takes; requests come over real gRPC all the same.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

__all__ = ["Sender"]

#: Longest that any broken request may take, in seconds, on a machine that may be busy; who takes longer hangs.
DEADLINE_S: Final = 100.0
#: What says that nobody knew what happened.
_UNTYPED: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)


class Sender:
    """Sends, counts outcomes, and complains of what may not be."""

    def __init__(self, address: str, metadata: tuple[tuple[str, str], ...]) -> None:
        from gateway.identity import POLICY, Role
        from tests.fuzz.mutations import METHODS, seeds

        self._channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self._metadata = metadata
        self._kinds = METHODS
        self._seeds = seeds()
        # What administers Triton is refused at the door, and would end the mesh if it were not.
        allowed = [method for method in METHODS if "/inference." not in method or POLICY[method] != {Role.OPERATOR}]
        #: Those that do something with what they are sent come up four times as often.
        self.methods = sorted(allowed + 3 * [method for method in allowed if any(map(any, self._seeds[method]))])
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.slowest = (0.0, "")

    def one(self, pick: Any) -> str:
        """One broken call, as ``pick`` decides; what is wrong with its end, or nothing."""
        from tests.fuzz.mutations import STREAMS, broken

        method = self.methods[pick(len(self.methods))]
        whole = self._seeds[method]
        requests = broken(whole[pick(len(whole))], self._kinds[method], pick)
        return self.send(method, requests if requests or method in STREAMS else [b""])

    def send(self, method: str, requests: list[bytes]) -> str:
        """One call of any kind."""
        started = time.monotonic()
        code, error = grpc.StatusCode.OK, None
        try:
            for _ in self._channel.stream_stream(method)(iter(requests), timeout=DEADLINE_S, metadata=self._metadata):
                pass
        except grpc.RpcError as caught:
            code, error = caught.code(), caught
        took = time.monotonic() - started
        self.outcomes[code.name] += 1
        self.slowest = max(self.slowest, (took, method))
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{method} did not end in {took:.1f} s"
        if code in _UNTYPED and _reason(error) in ("", "INTERNAL"):
            return f"{method} ended with {code.name}: {error.details() if error else ''}"
        return ""

    def whole(self) -> str:
        """Whether a sound request is still answered."""
        method = "/cardiomesh.gateway.v1.CardioMesh/Analyze"
        before = self.outcomes["OK"]
        wrong = self.send(method, list(self._seeds[method][0]))
        return wrong or ("" if self.outcomes["OK"] > before else "a sound request is no longer answered")

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _reason(error: Any) -> str:
    raw = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    status, info = status_pb2.Status(), error_details_pb2.ErrorInfo()
    try:
        status.ParseFromString(raw or b"")
        return next((info.reason for detail in status.details if detail.Unpack(info)), "")
    except DecodeError:
        return ""


def _serve(addresses: dict[str, str], where: list[str], ready: threading.Event) -> None:
    """The gateway, for as long as the process lives."""
    from cardiomesh.local import Addresses
    from gateway.identity import Role
    from tests.gateways import gateway

    async def run() -> None:
        async with gateway(
            Addresses.of(addresses), anonymous_roles=frozenset(Role), max_concurrent_calls=64
        ) as service:
            where.append(service.grpc_address)
            ready.set()
            await asyncio.Event().wait()

    asyncio.run(run())


def main() -> int:
    """Fuzz until the time is over."""
    import atheris

    addresses, seconds, seed, report = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    with atheris.instrument_imports(include=["gateway", "cardiomesh"]):
        import gateway.__main__  # noqa: F401 — instrumented by being imported here
    where: list[str] = []
    ready = threading.Event()
    threading.Thread(target=_serve, args=(addresses, where, ready), daemon=True).start()
    if not ready.wait(120):
        raise SystemExit("the gateway did not start")
    sender = Sender(where[0], ())
    sent = 0

    def once(data: bytes) -> None:
        nonlocal sent
        provider = atheris.FuzzedDataProvider(data)
        wrong = sender.one(lambda n: provider.ConsumeIntInRange(0, n - 1))
        sent += 1
        if sent % 50 == 0:
            wrong = wrong or sender.whole()
        if sent % 50 == 0 or wrong:
            facts = {"sent": sent, "outcomes": sender.outcomes, "slowest": sender.slowest, "wrong": wrong}
            report.write_text(json.dumps(facts))
        if wrong:
            raise RuntimeError(wrong)

    arguments = [sys.argv[0], f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=512", "-len_control=0"]
    arguments += ["-rss_limit_mb=2048", "-timeout=120", "-print_final_stats=1", f"-artifact_prefix={report.parent}/"]
    atheris.Setup(arguments, once, enable_python_coverage=True)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
