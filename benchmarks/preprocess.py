"""CPU time of preparing one recording, step by step. Run by ``make bench-preprocess``.

Process CPU time on one core (``time.process_time``), median and 90th percentile over repeated runs. The inputs are
the real DICOM ECG of the pydicom package (ten seconds at 1000 Hz), every other sample of it, and the same signal as a
WFDB zip and as plain numbers.
"""

from __future__ import annotations

import io
import os
import platform
import socket
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import grpc  # noqa: E402  after the thread limits
import numpy as np  # noqa: E402
import pydicom  # noqa: E402
from pydicom.data import get_testdata_file  # noqa: E402

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc  # noqa: E402
from cardiomesh._proto.types.v1 import types_pb2  # noqa: E402
from cardiomesh.ecg.conditioning import condition, window  # noqa: E402
from cardiomesh.ecg.hashing import canonical, signal_hash, tensor_hash  # noqa: E402
from cardiomesh.ecg.leads import STANDARD_LEADS  # noqa: E402
from cardiomesh.ecg.quality import grade  # noqa: E402
from cardiomesh.rpc.channel import dial_sync  # noqa: E402
from preprocessor.decoding import FileInput, RecordingInput, SignalInput, decode  # noqa: E402
from preprocessor.memory import settle  # noqa: E402
from preprocessor.prepare import prepare  # noqa: E402
from preprocessor.validation import check_form  # noqa: E402

RUNS = 300
ITEMS, ROUNDS = 200, 3
BUDGET_MS = 4.0


def inputs() -> dict[str, RecordingInput]:
    """The same ten seconds at 500 Hz in three containers, and the file they were made from."""
    original = Path(str(get_testdata_file("waveform_ecg.dcm")))
    dataset = pydicom.dcmread(original)
    group = dataset.WaveformSequence[0]
    counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)[::2]
    group.WaveformData, group.NumberOfWaveformSamples, group.SamplingFrequency = counts.tobytes(), len(counts), "500"
    dicom, wfdb = io.BytesIO(), io.BytesIO()
    dataset.save_as(dicom)
    header = [f"r 12 500 {len(counts)}"] + [f"r.dat 16 800/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    with zipfile.ZipFile(wfdb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.hea", "\n".join(header) + "\n")
        archive.writestr("r.dat", counts.astype("<i2").tobytes())
    plain = np.ascontiguousarray(counts.T).astype("<i2").tobytes()
    return {
        "DICOM": RecordingInput(FileInput(dicom.getvalue())),
        "WFDB (deflated zip)": RecordingInput(FileInput(wfdb.getvalue())),
        "numbers (int16)": RecordingInput(SignalInput(STANDARD_LEADS, 500.0, "uV", "int16", plain, 1.25)),
        "DICOM at 1000 Hz": RecordingInput(FileInput(original.read_bytes())),
    }


def cpu_ms(work: Callable[[], object]) -> tuple[float, float, float]:
    """Fastest, median and 90th percentile of the CPU time of one run, in milliseconds.

    On a machine that others use, caches and the hypervisor lengthen CPU time itself: then the fastest run is
    nearest to what the work costs.
    """
    work()
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) * 1e3)
    return min(times), float(np.median(times)), float(np.percentile(times, 90))


def throughput(request: RecordingInput) -> None:
    """The same recording over gRPC, one call each and as one batch; a separate process asks."""
    with serving() as address, dial_sync(address) as channel:
        stub = preprocessor_pb2_grpc.PreprocessorStub(channel)
        recording = types_pb2.Recording(file=types_pb2.File(content=getattr(request.content, "content", b"")))
        one = preprocessor_pb2.PrepareRequest(recording=recording)

        def batch(count: int) -> Iterator[preprocessor_pb2.PrepareBatchRequest]:
            for k in range(count):
                yield preprocessor_pb2.PrepareBatchRequest(item_id=str(k), request=one)

        ways: dict[str, Callable[[int], object]] = {
            "Prepare, one by one": lambda count: [stub.Prepare(one, timeout=60) for _ in range(count)],
            "PrepareBatch": lambda count: list(stub.PrepareBatch(batch(count), timeout=60)),
        }
        print(f"\n{'WFDB over gRPC':<28}{'recordings/s':>14}   best of {ROUNDS} interleaved rounds of {ITEMS}")
        for work in ways.values():
            work(8)
        best = dict.fromkeys(ways, 0.0)
        for _ in range(ROUNDS):
            for name, work in ways.items():
                started = time.perf_counter()
                work(ITEMS)
                best[name] = max(best[name], ITEMS / (time.perf_counter() - started))
        for name, rate in best.items():
            print(f"{name:<28}{rate:>14.0f}")


@contextmanager
def serving() -> Iterator[str]:
    """The preprocessor as a process of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {
        "CARDIOMESH_GRPC_ADDRESS": address,
        "CARDIOMESH_HTTP_ADDRESS": "127.0.0.1:0",
        "CARDIOMESH_LOG_LEVEL": "ERROR",
    }
    service = subprocess.Popen([sys.executable, "-m", "preprocessor"], env={**os.environ, **environment})
    try:
        with dial_sync(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield address
    finally:
        service.terminate()
        service.wait(30)


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    settle()  # as the service does
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"one 10 s 12-lead 500 Hz recording, {RUNS} runs each, CPU ms on one core\n")
    print(f"{'whole preparation':<28}{'fastest':>9}{'median':>9}{'p90':>9}   budget {BUDGET_MS:g}")
    given = inputs()
    for name, request in given.items():
        fastest, median, p90 = cpu_ms(lambda request=request: prepare(request))  # type: ignore[misc]
        print(f"{name:<28}{fastest:>9.2f}{median:>9.2f}{p90:>9.2f}   {'within' if median <= BUDGET_MS else 'OVER'}")
    recording = decode(given["DICOM"])
    x, rate = recording.millivolts, recording.sampling_rate
    tensor = window(condition(x, rate))[0].tobytes()
    steps: dict[str, Callable[[], object]] = {f"decode {name}": lambda r=r: decode(r) for name, r in given.items()}  # type: ignore[misc]
    steps |= {
        "check form": lambda: check_form(recording),
        "grade": lambda: grade(x, rate, STANDARD_LEADS),
        "condition and window": lambda: window(condition(x, rate)),
        "hash signal": lambda: signal_hash(canonical(x), rate),
        "hash tensor": lambda: tensor_hash(tensor),
    }
    throughput(given["WFDB (deflated zip)"])
    print(f"\n{'step':<28}{'fastest':>9}{'median':>9}{'p90':>9}")
    for name, work in steps.items():
        fastest, median, p90 = cpu_ms(work)
        print(f"{name:<28}{fastest:>9.2f}{median:>9.2f}{p90:>9.2f}")


if __name__ == "__main__":
    main()
