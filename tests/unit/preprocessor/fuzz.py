"""Fuzz the decoders through the real service: ``python -m tests.unit.preprocessor.fuzz --seconds 600``.

Starts ``python -m preprocessor``, sends damaged versions of real and written files of every format for the time given,
and stops with status 1 when an answer is anything but OK or INVALID_ARGUMENT, takes too long, when the service dies, or
when it and its workers together hold more memory than allowed. Seeded, so that what it finds can be found again.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
import pyedflib
from pydicom.data import get_testdata_file

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.leads import STANDARD_LEADS
from tests.unit.preprocessor.decoding.writers import WRITERS
from tests.unit.preprocessor.recordings import heart, zipped

ROOT = Path(__file__).resolve().parents[3]
DECODE_SECONDS = 10.0
MEMORY_MIB = 512
AECG = Path(__file__).parent / "decoding" / "data" / "biosig_aecg.xml.gz"
#: Service, its worker with libraries, and what one file may take on top.
MOST_MIB = 300 + 300 + MEMORY_MIB
LATEST_SECONDS = DECODE_SECONDS + 20.0  # a machine under load, and a worker that has to be started again
FINE = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


def seeds() -> dict[str, bytes]:
    """One small file of each format, real ones where the data are on this machine."""
    counts = heart()
    titles = ",".join(f"{lead} [uV]" for lead in STANDARD_LEADS)
    rows = "\n".join(f"{k / 500:.3f}," + ",".join(map(str, row)) for k, row in enumerate(counts.T))
    header = [f"r 12 500 {counts.shape[1]}"] + [f"r.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    files = {
        "dicom": Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes(),
        "csv": f"time [s],{titles}\n{rows}".encode(),
        "wfdb": zipped({"r.hea": "\n".join(header).encode(), "r.dat": counts.T.astype("<i2").tobytes()}),
        "edf": _edf(counts),
        "apple": b"Name,X\nSample Rate,512 hertz\nLead,Lead I\nUnit,\xc2\xb5V\n\n"
        + "\n".join(f"{v:.1f}" for v in counts[0]).encode(),
    }
    files.update({f"synthetic {name}": write(heart(4.0)) for name, write in WRITERS.items()})
    files["aecg of BioSig"] = gzip.decompress(AECG.read_bytes())
    data = Path(os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data")) / "formats"
    files.update({path.name: path.read_bytes() for path in data.glob("*/*") if path.stat().st_size < 600_000})
    return files


def _edf(counts: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.edf"
        writer = pyedflib.EdfWriter(str(path), 12, file_type=pyedflib.FILETYPE_EDF)
        facts = {"dimension": "uV", "sample_frequency": 500, "physical_min": -32768, "physical_max": 32767,
                 "digital_min": -32768, "digital_max": 32767}  # fmt: skip
        writer.setSignalHeaders([{"label": lead, **facts} for lead in STANDARD_LEADS])
        writer.writeSamples([row.astype(np.int32) for row in counts], digital=True)
        writer.close()
        return path.read_bytes()


def damaged(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """A few faults: bytes and numbers changed, pieces cut, doubled, moved, or taken from another file."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # Headers hold what can go wrong: most faults go there.
        reach = len(data) if rng.random() < 0.3 else min(len(data), rng.choice((64, 512, 4096, 32_768)))
        at = rng.randrange(max(1, reach))
        size = min(rng.choice((1, 2, 4, 8, 64, 1024)), max(1, len(data) - at))
        fault = rng.randrange(8)
        if fault == 0 and data:
            data[at] = rng.randrange(256)
        elif fault == 1:
            data[at : at + size] = rng.choice((b"\xff", b"\0", b"9", b"-")) * size
        elif fault == 2:
            data[at : at + 4] = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)).to_bytes(4, "little")
        elif fault == 3:
            del data[at : at + size]
        elif fault == 4:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 100))
        elif fault == 5:
            del data[rng.randrange(max(1, len(data))) :]
        elif fault == 6:
            other = rng.choice(others)
            data[at : at + size] = other[at : at + size]
        else:
            digits = [k for k in range(at, min(at + 4096, len(data))) if chr(data[k]).isdigit()]
            for k in digits[: rng.choice((1, 4, 10))]:
                data[k] = rng.choice(b"0123456789-.eE")
    return bytes(data)


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            status = Path(f"/proc/{one}/status").read_text()
            waiting += [int(c) for c in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:
            continue
        total += next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)
    return total


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "CARDIOMESH_GRPC_ADDRESS": address, "CARDIOMESH_HTTP_ADDRESS": "127.0.0.1:0",
        "CARDIOMESH_DECODE_SECONDS": str(DECODE_SECONDS), "CARDIOMESH_DECODE_MEMORY_MIB": str(MEMORY_MIB),
        "CARDIOMESH_LOG_LEVEL": "ERROR", "CARDIOMESH_DEFAULT_DEADLINE_S": "120",
    }  # fmt: skip
    files = seeds()
    names, contents = sorted(files), [files[name] for name in sorted(files)]
    codes: collections.Counter[str] = collections.Counter()
    slowest, most, sent = (0.0, ""), 0.0, 0
    kept = Path(tempfile.gettempdir()) / f"cardiomesh-fuzz-{chosen.seed}"
    service = subprocess.Popen([sys.executable, "-m", "preprocessor"], cwd=ROOT, env={**os.environ, **settings})
    try:
        with grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
            stub = preprocessor_pb2_grpc.PreprocessorStub(channel)
            end = time.monotonic() + chosen.seconds
            while time.monotonic() < end:
                name = names[sent % len(names)]
                content = damaged(files[name], rng, contents) if sent >= len(names) else files[name]
                request = preprocessor_pb2.PrepareRequest(
                    recording=types_pb2.Recording(file=types_pb2.File(content=content))
                )
                started = time.monotonic()
                try:
                    stub.Prepare(request, timeout=120)
                    code = grpc.StatusCode.OK
                except grpc.RpcError as error:
                    code = error.code()
                took = time.monotonic() - started
                sent += 1
                codes[code.name] += 1
                if took > slowest[0]:
                    slowest = (took, name)
                    kept.write_bytes(content)
                if sent % 20 == 0:
                    most = max(most, resident_mib(service.pid))
                if code not in FINE or took > LATEST_SECONDS or most > MOST_MIB or service.poll() is not None:
                    kept.write_bytes(content)
                    print(f"FAILED on {name}: {code.name} after {took:.1f} s, {most:.0f} MiB; input kept as {kept}")
                    return 1
    finally:
        service.terminate()
        service.wait(60)
    print(f"{sent} files of {len(names)} kinds in {chosen.seconds:g} s, seed {chosen.seed}: {dict(codes)}")
    print(
        f"slowest {slowest[0]:.2f} s ({slowest[1]}, kept as {kept}); most memory {most:.0f} MiB of {MOST_MIB} allowed"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
