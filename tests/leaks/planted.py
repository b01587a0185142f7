"""Unique identifiers of people who do not exist, and every place of a mesh where one may have been left behind."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import re
import secrets
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from redis import Redis

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.local import Addresses
from tests.unit.preprocessor.decoding import writers
from tests.unit.preprocessor.long.tapes import as_edf, as_ishne, tape
from tests.unit.preprocessor.recordings import heart, zipped

__all__ = ["Identifiers", "collector", "files", "places"]


class Identifiers:
    """Tokens that occur nowhere else, by the place they were planted in."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {"a vendor's file": "planted"}
        for form in writers.PLANTED:
            if len(form) > 8:
                self.planted[f"a vendor's file: {form}"] = form

    def name(self, place: str) -> str:
        """A person's name."""
        return self._plant(place, f"Qz{secrets.token_hex(5)}^Maria")

    def number(self, place: str) -> str:
        """A hospital's number."""
        return self._plant(place, f"MRN-{secrets.randbelow(10**14):014d}")

    def birth(self, place: str) -> str:
        """A birth date that no clock will show."""
        return self._plant(place, f"19{secrets.randbelow(40) + 10}-0{secrets.randbelow(9) + 1}-{secrets.token_hex(3)}")

    def street(self, place: str) -> str:
        """An address."""
        return self._plant(place, f"Rua {secrets.token_hex(5)}, 17")

    def _plant(self, place: str, token: str) -> str:
        self.planted[f"{place}: {token}"] = token
        return token

    def found_in(self, content: bytes) -> list[str]:
        """The places whose tokens are in it: as they are, or as a hash without a key, which anybody can try out."""
        seen = content.lower()
        return [place for place, token in self.planted.items() if any(form in seen for form in _forms(token))]


def _forms(token: str) -> Iterator[bytes]:
    # Part of a name is a name, and JSON or a URL may have escaped what is between.
    yield re.split(r"[\^, ]", token)[1 if token.startswith("Rua") else 0].lower().encode()
    for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.blake2b):
        yield digest(token.encode()).hexdigest()[:32].encode()


def files(identifiers: Identifiers) -> Mapping[str, bytes]:
    """Recordings that can be analysed, with identifiers wherever their format has a place for them."""
    made = {f"vendor {name}": write(heart()) for name, write in writers.WRITERS.items() if name not in ("ishne",)}
    made["dicom"] = _dicom(identifiers)
    made["wfdb"] = _wfdb(identifiers)
    made["edf"] = _edf(identifiers, 10.0)
    return made


def tapes(identifiers: Identifiers) -> Mapping[str, bytes]:
    """The same for long recordings."""
    ishne = bytearray(as_ishne(tape(30.0)))
    ishne[26 + 14 : 26 + 14 + 20] = identifiers.name("an ISHNE tape").encode()[:20].ljust(20, b"\0")
    return {"ishne": bytes(ishne), "edf": _edf(identifiers, 30.0)}


def _dicom(identifiers: Identifiers) -> bytes:
    dataset = pydicom.dcmread(Path(str(get_testdata_file("waveform_ecg.dcm"))))
    dataset.PatientName, dataset.PatientID = identifiers.name("DICOM name"), identifiers.number("DICOM id")
    dataset.PatientComments = identifiers.birth("DICOM comments")
    dataset.PatientAddress = identifiers.street("DICOM address")
    dataset.InstitutionName = identifiers.name("DICOM place")
    dataset.OperatorsName = dataset.ReferringPhysicianName = identifiers.name("DICOM physician")
    dataset.AccessionNumber, dataset.DeviceSerialNumber = "ACC5550001", "SN7766554"
    channel = dataset.WaveformSequence[0].ChannelDefinitionSequence[0]
    channel.ChannelLabel = identifiers.name("DICOM channel")[:16]
    dataset.WaveformAnnotationSequence = pydicom.Sequence([pydicom.Dataset()])
    dataset.WaveformAnnotationSequence[0].UnformattedTextValue = identifiers.name("DICOM annotation")
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _wfdb(identifiers: Identifiers) -> bytes:
    counts = heart()
    record = "q" + secrets.token_hex(5)
    identifiers.planted[f"WFDB record: {record}"] = record
    header = [f"{record} 12 500 {counts.shape[1]}"]
    header += [f"{record}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    header += [f"# Name: {identifiers.name('WFDB comment')}", f"#{identifiers.number('WFDB comment')}"]
    return zipped({f"{record}.hea": "\n".join(header).encode(), f"{record}.dat": counts.T.astype("<i2").tobytes()})


def _edf(identifiers: Identifiers, seconds: float) -> bytes:
    content = bytearray(as_edf(tape(seconds)))
    patient = f"{identifiers.number('EDF patient')} X 13-JUL-1931 {identifiers.name('EDF patient')}"
    content[8:88] = patient.encode()[:80].ljust(80)
    content[88:168] = identifiers.name("EDF recording").encode().ljust(80)
    return bytes(content)


def nonsense(identifiers: Identifiers) -> Mapping[str, bytes]:
    """Files that cannot be read, with identifiers at the very place that cannot be."""
    whole = files(identifiers)
    broken = {f"half {name}": content[: len(content) // 2] for name, content in whole.items()}
    broken["a letter"] = f"Dear {identifiers.name('letter')}, born {identifiers.birth('letter')}".encode()
    broken["csv"] = f"time,{identifiers.name('csv title')},II\n0.1,{identifiers.number('csv value')},1\n".encode() * 9
    broken["xml"] = f"<{(tag := identifiers.name('xml tag').split('^')[0])}><a></{tag}>".encode()
    broken["wfdb"] = zipped({f"{identifiers.name('zip member')}.hea": identifiers.number("WFDB header").encode()})
    leads = [f"f.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    flat = "\n".join(["f 12 500 5000", *leads, f"# {identifiers.name('flat WFDB comment')}"])
    broken["flat"] = zipped({"f.hea": flat.encode(), "f.dat": np.zeros((12, 5000), "<i2").tobytes()})
    return broken


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP collector: its address, and every body it was sent."""
    bodies: list[bytes] = []

    class Takes(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", bodies
        finally:
            server.shutdown()
            thread.join()


def places(addresses: Addresses, folders: Mapping[str, Path], keys: set[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of everything that outlives a call. Files that are under ``keys`` are secrets by intent."""
    for name, folder in folders.items():
        for path in folder.rglob("*"):
            yield f"{name}: name of {path}", str(path.relative_to(folder)).encode()
            if path.is_file() and path.name not in keys:
                yield f"{name}: {path}", path.read_bytes()
    for name in ("http", "preprocessor_http", "explainer_http", "triton_metrics"):
        request = urllib.request.Request(f"http://{getattr(addresses, name)}/metrics")
        request.add_header("Accept", "application/openmetrics-text; version=1.0.0")
        with urllib.request.urlopen(request, timeout=30) as answer:
            yield f"metrics of {name}", answer.read()
    with Redis.from_url(f"redis://{addresses.redis}/0") as redis:
        for key in redis.scan_iter():
            yield f"redis key {key!r}", key
            yield f"redis value of {key!r}", _value(redis, key)


def _value(redis: Any, key: bytes) -> bytes:
    kind = redis.type(key)
    if kind == b"string":
        return bytes(redis.get(key))
    read = {b"hash": redis.hgetall, b"set": redis.smembers, b"zset": lambda key: redis.zrange(key, 0, -1)}
    return repr(read[kind](key)).encode()
