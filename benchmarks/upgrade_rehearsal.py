"""What Kubernetes would do, rehearsed on one machine: an upgrade under constant load, then the way back.

Run by ``make upgrade-rehearsal``. The old build is a commit of this repository, the new one the working tree. Two
replicas of each service stand behind client-side balancing; one Triton and one Valkey stand behind them. A rollout
replaces each replica as the chart does: the successor starts first and is ready, then the predecessor gets SIGTERM,
goes on serving as "not ready", takes no new calls, finishes those in flight, and leaves. The store's tables are
migrated before the first new gateway starts. Callers of both builds ask all the while, and none may notice anything.

Not rehearsed: Triton's own replacement (docs/decisions/ops-rolling-triton.md), and DNS, which needs a cluster. Both
builds serve the old build's models, because a chart's services are upgraded before its models are.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cardiomesh.local import Mesh
from cardiomesh.local.plan import Probe
from cardiomesh.local.ports import free_ports
from cardiomesh.local.probes import ready
from cardiomesh.watch import known_ecg
from gateway.identity.directory import digest_of, new_key

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("preprocessor", "explainer", "gateway")
#: Replicas, and one place more for a successor that starts while its predecessor still serves.
REPLICAS, PLACES = 2, 3
#: Shorter than the chart's, long enough to be seen: balancers here notice within milliseconds.
DRAIN_DELAY_S, DRAIN_GRACE_S = 1.0, 20.0
#: Callers at once, of each build.
THREADS = 4
#: A caller: asks over and over with its own build's SDK and prints one JSON line when told to stop.
CALLER = """
import json, sys, threading, time
import numpy as np
from cardiomesh.client import Client
from cardiomesh.errors import CardioMeshError

address, threads, signal = sys.argv[1], int(sys.argv[2]), np.load(sys.argv[3])
calls, errors, stop = [], [], threading.Event()

def ask(client, number):
    while not stop.is_set():
        began = time.time()
        try:
            # One in eight is computed afresh, the others come from the cache.
            client.analyze(signal=signal, sampling_rate=500, unit="mV", model="edge_optimized",
                           bypass_cache=len(calls) % 8 == 0)
            calls.append((began, time.time() - began))
        except CardioMeshError as error:
            errors.append(f"{error.reason}: {error}")

with Client(address, timeout=20) as client:
    workers = [threading.Thread(target=ask, args=(client, n)) for n in range(threads)]
    for worker in workers: worker.start()
    sys.stdin.readline()
    stop.set()
    for worker in workers: worker.join()
json.dump({"calls": calls, "errors": errors}, sys.stdout)
"""


@dataclass
class Build:
    """A checkout that services are started from."""

    name: str
    path: Path


@dataclass
class Replica:
    """One process of one service."""

    service: str
    build: Build
    process: subprocess.Popen[bytes]
    place: int
    log: Path


@dataclass
class Rehearsal:
    """Two replicas of each service, and how they are replaced."""

    mesh: Mesh
    folder: Path
    environment: dict[str, str]
    places: dict[str, list[int]]
    running: dict[str, list[Replica]] = field(default_factory=lambda: {name: [] for name in SERVICES})
    count: int = 0

    def target(self, service: str) -> str:
        """All places of a service, for a client that balances over those that answer."""
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.places[service])

    def start(self, service: str, build: Build) -> None:
        """Start a replica on a free place and wait until it says that it is ready."""
        taken = {replica.place for replica in self.running[service]}
        place = next(port for port in self.places[service] if port not in taken)
        where = self.mesh.addresses
        wiring = {
            "GRPC_ADDRESS": f"127.0.0.1:{place}",
            "HTTP_ADDRESS": "127.0.0.1:0",
            "MODEL_REPOSITORY": str(self.mesh.model_repository),
            "TRITON_ADDRESS": where.triton,
            "PREPROCESSOR_ADDRESS": self.target("preprocessor"),
            "EXPLAINER_ADDRESS": self.target("explainer"),
            "REDIS_URL": f"redis://{where.redis}/0",
            "DRAIN_DELAY_S": str(DRAIN_DELAY_S),
            "DRAIN_GRACE_S": str(DRAIN_GRACE_S),
        }
        environment = {f"CARDIOMESH_{name}": value for name, value in (wiring | self.environment).items()}
        self.count += 1
        log = self.folder / f"{self.count:02}-{service}-{build.name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", service],
                cwd=build.path,
                env=os.environ | environment | {"PYTHONPATH": str(build.path)},
                stdout=file,
                stderr=file,
            )
        self.running[service].append(Replica(service, build, process, place, log))
        probe = Probe(kind="grpc-health", address=f"127.0.0.1:{place}")
        while not ready(probe):
            if process.poll() is not None:
                sys.exit(f"{service} of the {build.name} build did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)

    def replace(self, service: str, build: Build) -> None:
        """One rolling update: a successor for each replica, then the predecessor's orderly end."""
        for old in list(self.running[service]):
            self.start(service, build)
            old.process.send_signal(signal.SIGTERM)
            if old.process.wait(DRAIN_DELAY_S + DRAIN_GRACE_S + 10):
                sys.exit(f"{service} left with status {old.process.returncode}:\n{old.log.read_text()[-2000:]}")
            self.running[service].remove(old)

    def stop(self) -> None:
        """End everything."""
        for replica in [replica for replicas in self.running.values() for replica in replicas]:
            replica.process.terminate()
        for replica in [replica for replicas in self.running.values() for replica in replicas]:
            replica.process.wait(60)


@contextmanager
def callers(builds: list[Build], target: str, key: str, ecg: Path) -> Iterator[dict[str, Any]]:
    """Constant load from the SDK of each build for the length of the block; fills the answer when it ends."""
    results: dict[str, Any] = {}
    processes = {
        build.name: subprocess.Popen(
            [sys.executable, "-c", CALLER, target, str(THREADS), str(ecg)],
            cwd=build.path,
            env=os.environ | {"PYTHONPATH": str(build.path), "CARDIOMESH_API_KEY": key, "GRPC_VERBOSITY": "NONE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for build in builds
    }
    try:
        yield results
        for name, process in processes.items():
            results[name] = json.loads(process.communicate(b"stop\n", timeout=120)[0])
    finally:
        for process in processes.values():
            process.kill()


def exported(revision: str, folder: Path) -> Path:
    """The tree of a commit, in a folder of its own."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive, check=True)
    return folder


def p99(latencies: list[float]) -> float:
    """In milliseconds."""
    return sorted(latencies)[int(len(latencies) * 0.99)] * 1e3 if latencies else float("nan")


def rehearse(rehearsal: Rehearsal, old: Build, new: Build, key: str, phase_s: float, least: int) -> bool:
    """Before, upgrade, between, rollback, after; print what callers saw. True when nobody saw anything."""
    marks: list[tuple[str, float]] = []

    def phase(name: str) -> None:
        marks.append((name, time.time()))
        print(f"{time.strftime('%H:%M:%S')}  {name}", flush=True)

    ecg = rehearsal.folder / "ecg.npy"
    np.save(ecg, known_ecg())
    for service in SERVICES:
        for _ in range(REPLICAS):
            rehearsal.start(service, old)
    with callers([old, new], rehearsal.target("gateway"), key, ecg) as results:
        phase("before")
        time.sleep(phase_s)
        phase("upgrade")
        migrate(rehearsal, new)
        for service in SERVICES:
            rehearsal.replace(service, new)
        phase("new build")
        time.sleep(phase_s)
        phase("rollback")
        for service in reversed(SERVICES):
            rehearsal.replace(service, old)
        phase("old build again")
        time.sleep(phase_s)
        phase("end")
    total = sum(len(result["calls"]) for result in results.values())
    failed = [error for result in results.values() for error in result["errors"]]
    print(f"\n{'phase':<16} {'seconds':>8} {'requests':>9} {'p99 ms':>8}")
    for (name, began), (_, ended) in pairwise(marks):
        seen = [took for result in results.values() for at, took in result["calls"] if began <= at < ended]
        print(f"{name:<16} {ended - began:>8.1f} {len(seen):>9} {p99(seen):>8.1f}")
    for name, result in results.items():
        print(f"SDK of the {name} build: {len(result['calls'])} answered, {len(result['errors'])} failed")
    print(f"total {total + len(failed)} requests, {len(failed)} failed")
    for error in sorted(set(failed))[:10]:
        print(f"  {failed.count(error)} × {error}")
    if total < least:
        print(f"fewer than {least} requests: give the phases more --seconds")
    return not failed and total >= least


def migrate(rehearsal: Rehearsal, new: Build) -> None:
    """What the chart's Job does before the pods of an upgrade."""
    subprocess.run(
        [sys.executable, "-m", "cardiomesh.cli", "store", "migrate", "--store", rehearsal.environment["STORE_URL"]],
        cwd=new.path,
        env=os.environ | {"PYTHONPATH": str(new.path)},
        check=True,
    )


def main() -> None:
    """Rehearse; exit 1 when a caller noticed or the trail is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", default="HEAD~1", help="commit of the build to upgrade from")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each quiet phase")
    parser.add_argument("--requests", type=int, default=20_000, help="least number of requests that count")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        old = Build("old", exported(options.old, folder / "old"))
        new = Build("new", ROOT)
        key, secret = new_key(), folder / "store-key"
        secret.write_bytes(os.urandom(32))
        identities = folder / "identities.json"
        entry = {"name": "caller", "sha256": digest_of(key), "tenant": "default", "roles": ["clinician"]}
        identities.write_text(json.dumps({"keys": [entry]}))
        environment = {
            "IDENTITIES": str(identities),
            # A caller whose SDK is older than keys: it is let in, as a site would for the time of the upgrade.
            "ANONYMOUS_ROLES": '["clinician"]',
            "STORE_URL": f"sqlite:///{folder / 'store.sqlite'}",
            "STORE_KEY": str(secret),
            "STORE_TIMEOUT_S": "10",
        }
        mesh = stack.enter_context(
            Mesh(old.path / "model_repository", directory=folder / "mesh", parts=("triton", "redis"))
        )
        ports = iter(free_ports(len(SERVICES) * PLACES))
        places = {name: [next(ports) for _ in range(PLACES)] for name in SERVICES}
        rehearsal = Rehearsal(mesh, folder, environment, places)
        stack.callback(rehearsal.stop)
        well = rehearse(rehearsal, old, new, key, options.seconds, options.requests)
        rehearsal.stop()
        verify = ["audit", "verify", "--store", environment["STORE_URL"], "--key", str(secret)]
        trail = subprocess.run(
            [sys.executable, "-m", "cardiomesh.cli", *verify], cwd=ROOT, capture_output=True, text=True, check=False
        )
        print(f"audit trail: {(trail.stdout or trail.stderr).strip()}")
    sys.exit(0 if well and trail.returncode == 0 else 1)


if __name__ == "__main__":
    main()
