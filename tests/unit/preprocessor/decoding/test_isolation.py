"""Decoding in workers: the same answers, and limits that hold."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest, Overloaded
from preprocessor.decoding.inputs import FileInput
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.decoding.registry import decode_file
from tests.unit.preprocessor.recordings import heart


def table(seconds: float = 10.0, name: str = "I") -> bytes:
    titles = ",".join(f"{lead} [uV]" for lead in (name, *STANDARD_LEADS[1:]))
    lines = [",".join(map(str, row)) for row in heart(min(seconds, 20.0)).T]
    rows = [f"{k / 500:.3f},{lines[k % len(lines)]}" for k in range(round(seconds * 500))]
    return ("time [s]," + titles + "\n" + "\n".join(rows)).encode()


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(1, seconds=20, memory_mib=256)
    made.start()
    yield made
    made.close()


def test_a_worker_answers_what_the_reader_answers(pool: WorkerPool) -> None:
    content = FileInput(table(name="V7"))
    inside, outside = decode_file(content), decode_file(content, pool.decode)
    np.testing.assert_array_equal(outside.millivolts, inside.millivolts)
    assert outside.leads == inside.leads
    assert outside.extra[0].name == "V7"
    assert inside.extra[0].millivolts is not None
    assert outside.extra[0].millivolts is not None
    np.testing.assert_array_equal(outside.extra[0].millivolts, inside.extra[0].millivolts)


def test_an_error_comes_back_as_the_same_error(pool: WorkerPool) -> None:
    bad = table().replace(b"0.100,", b"zero,")
    with pytest.raises(InvalidRequest) as inside:
        decode_file(FileInput(bad))
    with pytest.raises(InvalidRequest) as outside:
        decode_file(FileInput(bad), pool.decode)
    assert outside.value.violations == inside.value.violations


def test_many_threads_share_the_workers(pool: WorkerPool) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        files = [FileInput(table(10 + k / 10)) for k in range(16)]
        lengths = list(threads.map(lambda f: decode_file(f, pool.decode).samples, files))
    assert lengths == [5000 + 50 * k for k in range(16)]


def test_too_much_memory_is_refused_and_the_next_file_is_read() -> None:
    pool = WorkerPool(1, seconds=60, memory_mib=64)
    with pytest.raises(InvalidRequest) as caught:
        decode_file(FileInput(table(600.0)), pool.decode)
    assert caught.value.violations[0].reason in {"TOO_LARGE", "UNREADABLE"}
    assert decode_file(FileInput(table()), pool.decode).samples == 5000
    pool.close()


def test_too_much_time_is_refused_and_the_next_file_is_read() -> None:
    pool = WorkerPool(1, seconds=1.0, memory_mib=2048)
    assert decode_file(FileInput(table()), pool.decode).samples == 5000
    with pytest.raises(InvalidRequest, match="longer than") as caught:
        decode_file(FileInput(table(1200.0)), pool.decode)
    assert caught.value.violations[0].reason == "TOO_SLOW"
    assert decode_file(FileInput(table()), pool.decode).samples == 5000
    pool.close()


def test_a_killed_worker_is_replaced(pool: WorkerPool) -> None:
    decode_file(FileInput(table()), pool.decode)
    worker = pool._idle.get()
    assert worker is not None
    worker._process.kill()
    worker._process.wait()
    pool._idle.put(worker)
    with pytest.raises(InvalidRequest):
        decode_file(FileInput(table()), pool.decode)
    assert decode_file(FileInput(table()), pool.decode).samples == 5000


def test_a_closed_pool_takes_no_files() -> None:
    pool = WorkerPool(1, seconds=1, memory_mib=64)
    pool.close()
    with pytest.raises(Overloaded):
        pool.decode("csv", table())


def laughing() -> bytes:
    entities = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    return f'<!DOCTYPE RestingECG [<!ENTITY a0 "lol">{entities}]><RestingECG>&a9;</RestingECG>'.encode()


BOMBS = {
    "billion laughs": laughing(),
    "outside entity": b'<!DOCTYPE RestingECG [<!ENTITY x SYSTEM "file:///etc/passwd">]><RestingECG>&x;</RestingECG>',
    "deep nesting": b"<RestingECG>" + b"<a>" * 100_000,
    "deep JSON": b'{"samples":' + b"[" * 100_000,
    "edf of a billion samples": (
        b"0       " + b" " * 176 + b"512     " + b" " * 44 + b"999999991       1   "
        + b"I               " + b" " * 80 + b"mV      -1      1       -32768  32767   "
        + b" " * 80 + b"99999999" + b" " * 32
    ),
    "scp that points nowhere": bytes(2) + (2**31).to_bytes(4, "little") + bytes(2) + bytes(2)
    + (2**30).to_bytes(4, "little") + b"\x14\x14SCPECG" + b"\xff" * 200,
    "CardioSoft that laughs": laughing().replace(b"RestingECG", b"CardiologyXML"),
    "Schiller of one endless number": b"<com.xiriuz.sema.xml.schillerEDI.SchillerEDI><eventdata><event><wavedata>"
    b"<type>ECG_RHYTHMS</type><resolution><samplerate><value>500</value></samplerate><yres><unitperbit>1</unitperbit>"
    b"<units>uV</units></yres></resolution><channel><name>I</name><data>" + b"9" * 5_000_000
    + b"</data></channel></wavedata></event></eventdata></com.xiriuz.sema.xml.schillerEDI.SchillerEDI>",
    "Mortara that laughs": laughing().replace(b"RestingECG", b"ECG") + b"<!-- MORTARA -->",
    "ATC of a block of 4 GiB": b"ALIVE\0\0\0\5\0\0\0fmt " + b"\xff" * 400,
    "mfer of a billion channels": b"\x40\x20MFR" + b" " * 29 + b"\x05\x04\x3b\x9a\xca\x00\x06\x04\x3b\x9a\xca\x00"
    + b"\x04\x04\x3b\x9a\xca\x00\x1e\x84\x3b\x9a\xca\x00" + b"\xff" * 200,
    "CSV of commas": b"time [s],I [mV]\n" + b"," * 3_000_000,
    "CSV of a million columns": b"I [mV]," * 1_000_000 + b"\n0,",
    "CSV of an endless title": b"time [s],I" + b" " * 1_000_000 + b"x\n0,1\n",
    "CSV of one endless cell": b"time [s],I [mV]\n0," + b"1" * 5_000_000,
    "ishne of a billion samples": b"ISHNE1.0" + bytes(2) + (2**31 - 1).to_bytes(4, "little") + b"\xff" * 600,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_quickly_and_by_type(pool: WorkerPool, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_file(FileInput(BOMBS[name]), pool.decode)
    assert caught.value.violations
    assert "root:" not in str(caught.value)
