"""Names, numbers, birth dates and addresses planted wherever a request can hold them are in nothing that stays."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.local import Mesh
from tests.conftest import ROOT
from tests.leaks.planted import Identifiers, collector, files, nonsense, places, tapes
from tests.unit.preprocessor.recordings import heart

pytestmark = pytest.mark.mesh

_MESH = "/cardiomesh.gateway.v1.CardioMesh/"
_TIMEOUT = 60.0


@dataclass
class Sender:
    """Sends requests over both transports, and keeps what errors said."""

    mesh: Mesh
    identifiers: Identifiers
    channel: grpc.Channel
    http: httpx.Client
    #: What was sent → its outcome.
    outcomes: dict[str, str] = field(default_factory=dict)
    #: What was sent → everything its error said.
    errors: dict[str, bytes] = field(default_factory=dict)

    def metadata(self, what: str) -> tuple[tuple[str, str], ...]:
        plant = self.identifiers
        return (
            ("authorization", f"Bearer {self.mesh.api_key}"),
            ("x-patient-name", plant.name(f"metadata of {what}")),
            ("idempotency-key", plant.number(f"idempotency key of {what}")),
            ("traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"),
            ("tracestate", f"hospital={plant.number(f'tracestate of {what}')}"),
            ("baggage", f"patient={plant.number(f'baggage of {what}')}"),
            ("user-agent", plant.name(f"user agent of {what}")),
        )

    def rpc(self, what: str, method: str, *requests: bytes) -> None:
        """Any method by its full name, with bytes as they are; every method can be called as a stream of both."""
        call = self.channel.stream_stream(method)(iter(requests), timeout=_TIMEOUT, metadata=self.metadata(what))
        try:
            for _ in call:
                pass
            self._note(what, "OK", b"")
        except grpc.RpcError as error:
            said = [error.details(), *error.initial_metadata(), *error.trailing_metadata()]
            self._note(what, error.code().name, "\n".join(map(str, said)).encode())

    def post(self, what: str, path: str, **request: Any) -> None:
        """The same over HTTP."""
        headers = dict(self.metadata(what)) | request.pop("headers", {})
        answer = self.http.request(request.pop("verb", "POST"), path, headers=headers, timeout=_TIMEOUT, **request)
        said = f"{answer.headers}\n{answer.text}".encode()
        self._note(f"HTTP {what}", str(answer.status_code), b"" if answer.status_code == 200 else said)

    def _note(self, what: str, outcome: str, said: bytes) -> None:
        self.outcomes[what] = outcome
        self.errors[what] = said


@pytest.fixture
def spans() -> Iterator[tuple[str, list[bytes]]]:
    with collector() as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def sender(tmp_path: Path, temporary: Path, spans: tuple[str, list[bytes]]) -> Iterator[Sender]:
    environment = {
        "CARDIOMESH_OTLP_ENDPOINT": spans[0],
        "CARDIOMESH_LOG_LEVEL": "DEBUG",
        "CARDIOMESH_KEEP_TENSORS": "true",
        "CARDIOMESH_NEAR_DUPLICATES_S": "3600",
        "TMPDIR": str(temporary),
    }
    with (
        Mesh(ROOT / "model_repository", directory=tmp_path / "mesh", environment=environment) as mesh,
        grpc.insecure_channel(mesh.addresses.gateway) as channel,
        httpx.Client(base_url=f"http://{mesh.addresses.http}") as http,
    ):
        yield Sender(mesh, Identifiers(), channel, http)


def analyses(identifiers: Identifiers) -> Iterator[tuple[str, gateway_pb2.AnalyzeRequest]]:
    """Requests with a file: some can be answered, some cannot."""
    for name, content in {**files(identifiers), **nonsense(identifiers)}.items():
        yield (
            name,
            gateway_pb2.AnalyzeRequest(
                measure=True,
                idempotency_key=identifiers.number(f"idempotency key {name}"),
                recording=types_pb2.Recording(
                    subject_ref=identifiers.number(f"subject of {name}"),
                    file=types_pb2.File(content=content, format_hint=identifiers.name(f"format hint of {name}")),
                ),
            ),
        )


def signals(identifiers: Identifiers) -> Iterator[tuple[str, gateway_pb2.AnalyzeRequest]]:
    """Requests with numbers, each with one field that holds what does not belong there."""
    name, number = identifiers.name, identifiers.number
    samples = heart().astype("<i2").tobytes()

    def signal(**change: Any) -> gateway_pb2.AnalyzeRequest:
        facts = {"leads": STANDARD_LEADS, "sampling_rate": 500.0, "unit": "uV", "sample_type": 1, "samples": samples}
        return gateway_pb2.AnalyzeRequest(
            recording=types_pb2.Recording(signal=types_pb2.Signal(**facts | change), subject_ref=number("a subject"))
        )

    yield "a whole signal", signal()
    yield "a unit", signal(unit=name("a unit"))
    yield "a lead", signal(leads=(*STANDARD_LEADS[:11], name("a lead")))
    thirteen = np.vstack([heart(), heart()[:1]]).astype("<i2").tobytes()
    yield "a thirteenth lead", signal(leads=(*STANDARD_LEADS, name("a thirteenth lead")), samples=thirteen)
    yield "samples", signal(samples=number("samples").encode())
    model = signal()
    model.model = name("a model")
    yield "a model", model
    long = signal()
    long.recording.subject_ref = number("a long subject") * 10
    yield "a long subject", long


def send_over_grpc(sender: Sender, raw: bytes) -> None:
    identifiers, number, name = sender.identifiers, sender.identifiers.number, sender.identifiers.name
    for what, request in [*analyses(identifiers), *signals(identifiers)]:
        sender.rpc(what, _MESH + "Analyze", request.SerializeToString())
    items = [
        gateway_pb2.AnalyzeBatchRequest(item_id=number(f"item id of {what}"), request=request)
        for what, request in list(analyses(identifiers))[:14]
    ]
    sender.rpc("a batch", _MESH + "AnalyzeBatch", *(item.SerializeToString() for item in items))
    for what, content in [*tapes(identifiers).items(), *list(nonsense(identifiers).items())[:4]]:
        start = gateway_pb2.AnalyzeLongRequest(start=gateway_pb2.AnalyzeLongStart())
        chunk = gateway_pb2.AnalyzeLongRequest(chunk=content)
        sender.rpc(f"tape {what}", _MESH + "AnalyzeLong", start.SerializeToString(), chunk.SerializeToString())
    recording = next(analyses(identifiers))[1].recording
    for code in ("NORM", name("a finding")):
        explain = gateway_pb2.ExplainRequest(recording=recording, finding_codes=[code], methods=[1])
        sender.rpc(f"explain {code}", _MESH + "Explain", explain.SerializeToString())
    earlier = gateway_pb2.GetResultRequest(result_id=number("a result id"))
    sender.rpc("a result", _MESH + "GetResult", earlier.SerializeToString())
    card = gateway_pb2.GetModelCardRequest(model=name("a card's model"))
    sender.rpc("a card", _MESH + "GetModelCard", card.SerializeToString())
    live = gateway_pb2.AnalyzeStreamStart(
        leads=[name("a live lead")], unit=name("a live unit"), subject_ref=number("a live subject"), sampling_rate=500
    )
    sender.rpc("live", _MESH + "AnalyzeStream", gateway_pb2.AnalyzeStreamRequest(start=live).SerializeToString())
    for method in gateway_pb2.DESCRIPTOR.services_by_name["CardioMesh"].methods:
        sender.rpc(f"raw {method.name}", _MESH + method.name, raw)
    sender.rpc("no such method", _MESH + name("a method").replace("^", ""), raw)
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        sender.rpc(f"raw {method.name}", f"/inference.GRPCInferenceService/{method.name}", raw)
    infer = service_pb2.ModelInferRequest(model_name=name("a KServe model"), id=number("a KServe id"))
    sender.rpc("infer, unpublished", "/inference.GRPCInferenceService/ModelInfer", infer.SerializeToString())
    infer.model_name = "edge_optimized"
    infer.parameters["patient"].string_param = name("a KServe parameter")
    infer.inputs.add(name="ecg", datatype="FP32", shape=[1, 12, 1000])
    infer.raw_input_contents.append(bytes(48_000))
    sender.rpc("infer", "/inference.GRPCInferenceService/ModelInfer", infer.SerializeToString())


def send_over_http(sender: Sender, raw: bytes) -> None:
    identifiers, number, name = sender.identifiers, sender.identifiers.number, sender.identifiers.name
    for what, content in [*files(identifiers).items(), *nonsense(identifiers).items()]:
        sender.post(what, "/v1/analyze", content=content, params={"recording.subject_ref": number(f"query of {what}")})
    good = files(identifiers)["dicom"]
    form = {"file": (name("a file name") + ".dcm", good, "application/" + name("a part's type").split("^")[0])}
    sender.post("form", "/v1/analyze", files=form, data={"recording.subject_ref": number("a form's value")})
    sender.post("form, odd part", "/v1/analyze", files=form, data={name("a part's name"): number("an odd part")})
    sender.post("query name", "/v1/analyze", content=good, params={name("a query's name"): "1"})
    sender.post("query value", "/v1/analyze", content=good, params={"measure": name("a query's value")})
    sender.post("query model", "/v1/analyze", content=good, params={"model": name("a query's model")})
    for path in ("/v1/analyze", "/v1/explain"):
        for body in (
            {name("a JSON field"): 1},
            {"recording": {"signal": {"sampling_rate": name("a JSON number")}}},
            {"recording": {"acquired_at": identifiers.birth("a JSON time")}},
            {"model": {name("a nested field"): number("a nested value")}},
            [number("a JSON list")],
        ):
            sender.post(f"JSON {body}", path, json=body)
    broken = f'{{"{name("broken JSON")}'
    sender.post("no JSON", "/v1/analyze", content=broken, headers={"Content-Type": "application/json"})
    lines = json.dumps({"item_id": number("a line's id"), "request": {}}) + "\n" + name("a broken line")
    for kind in ("application/x-ndjson", f"text/{name('a content type').split('^')[0]}"):
        sender.post(f"batch {kind}", "/v1/analyze/batch", content=lines, headers={"Content-Type": kind})
    for what, content in [*tapes(identifiers).items(), *list(nonsense(identifiers).items())[:3]]:
        sender.post(f"tape {what}", "/v1/analyze/long", content=content)
    sender.post("timeout", "/v1/models", verb="GET", headers={"X-Request-Timeout": name("a timeout")})
    for path in ("/v1/results/", "/v1/models/", "/v1/", "/", "/v2/models/", "/v2/", "/metrics/"):
        sender.post(f"path {path}", path + name(f"path {path}"), verb="GET")
    sender.post("card", f"/v1/models/{name('a path')}/card", verb="GET")
    sender.post("infer", f"/v2/models/{name('a KServe path')}/infer", content=raw)
    sender.post("infer, odd body", "/v2/models/edge_optimized/infer", content=b"x" + raw)
    for header in ("Authorization", "X-API-Key"):
        sender.post(f"wrong {header}", "/v1/models", verb="GET", headers={"authorization": "", header: name(header)})


def test_nothing_of_a_person_stays_anywhere(
    sender: Sender, spans: tuple[str, list[bytes]], tmp_path: Path, temporary: Path
) -> None:
    raw = f"\x0a\x20{sender.identifiers.name('raw bytes')}{sender.identifiers.number('raw bytes')}".encode()
    send_over_grpc(sender, raw)
    send_over_http(sender, raw)
    # The test is worth something only if all kinds of ends were met.
    met = set(sender.outcomes.values())
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "PERMISSION_DENIED"} <= met
    assert {"200", "400", "401", "403", "404", "415"} <= met
    untyped = {what: said for what, said in sender.outcomes.items() if said in ("INTERNAL", "UNKNOWN", "500")}
    assert untyped == {}
    assert len(sender.identifiers.planted) > 300

    found_in = sender.identifiers.found_in
    leaks = {f"error of {what}": found for what, said in sender.errors.items() if (found := found_in(said))}
    addresses = sender.mesh.addresses
    keys = {"api-key", "identities.json", "store.key"}
    for where, content in places(addresses, {"mesh": tmp_path / "mesh", "temporary": temporary}, keys):
        if found := found_in(content):
            leaks[where] = found
    sender.mesh.stop()  # what is left to export is exported, what is left to write is written
    assert spans[1]
    for body in spans[1]:
        if found := found_in(body):
            leaks["a span or metric that was exported"] = found
    for path in (tmp_path / "mesh").rglob("*"):
        if path.is_file() and (found := found_in(path.read_bytes())):
            leaks[str(path)] = found
    assert leaks == {}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    identifiers = Identifiers()
    name, street = identifiers.name("here"), identifiers.street("there")
    assert identifiers.found_in(b"x" + name.upper().encode() + b"y") == [f"here: {name}"]
    assert identifiers.found_in(json.dumps(street.replace(" ", "+")).encode()) == [f"there: {street}"]
    assert identifiers.found_in(hashlib.sha256(name.encode()).hexdigest().encode()) == [f"here: {name}"]
    assert identifiers.found_in(b"nothing of it") == []
