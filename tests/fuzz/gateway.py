"""Fuzz the gateway over both transports, in front of the real mesh: ``python -m tests.fuzz.gateway --seconds 600``.

Half of the time goes to every RPC and the pass-through (atheris: twisted valid messages, damaged and raw bytes), half
to every HTTP request of the OpenAPI document (schemathesis). Ends with status 1 when an answer is an error that nobody
foresaw, when one does not come, when a sound request is no longer answered, or when memory grows past its bound.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from cardiomesh.local import Mesh
from tests.fuzz.rpcs import Sender
from tests.unit.preprocessor.fuzz import resident_mib

ROOT = Path(__file__).resolve().parents[2]
#: Most that the mesh's gateway may hold, in MiB; it starts with about 130.
MOST_MIB = 512.0
#: Ours (``hooks.py``), and what the document promises.
CHECKS = "typed_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"


def rpcs(mesh: Mesh, seconds: float, seed: int, folder: Path) -> bool:
    """Every RPC, under atheris; whether all was well."""
    report = folder / "rpcs.json"
    addresses = json.dumps(dataclasses.asdict(mesh.addresses))
    command = [sys.executable, "-m", "tests.fuzz.rpcs", addresses, str(int(seconds)), str(seed), str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + 300)
    facts = json.loads(report.read_text()) if report.is_file() else {}
    peak = next((line.split()[-1] for line in done.stderr.splitlines() if "peak_rss_mb" in line), "?")
    covered = [line for line in done.stderr.splitlines() if " cov: " in line][-1:]
    print(f"gRPC: {facts.get('sent', 0)} broken calls in {seconds:g} s, seed {seed}: {facts.get('outcomes')}")
    print(f"gRPC: slowest {facts.get('slowest')}; peak of gateway and fuzzer in one process {peak} MiB; {covered}")
    if done.returncode != 0:
        print(f"gRPC FAILED: {facts.get('wrong') or done.stderr[-3000:]}; inputs in {folder}")
    return done.returncode == 0 and bool(facts.get("sent"))


def http(mesh: Mesh, seconds: float, seed: int, folder: Path) -> bool:
    """Every HTTP request of the document, by schemathesis; whether all was well."""
    base = f"http://{mesh.addresses.http}"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json", "--no-color"]
    command += ["-H", f"Authorization: Bearer {mesh.api_key}", "--max-time", str(int(seconds)), "--seed", str(seed)]
    command += ["--request-timeout", "60", "--checks", CHECKS, "--continue-on-failure", "--warnings", "off"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=seconds + 300
    )
    (folder / "http.txt").write_text(done.stdout + done.stderr)
    summary = [line.strip() for line in done.stdout.splitlines() if "generated" in line or line.startswith("====")]
    print(f"HTTP: in {seconds:g} s, seed {seed}: {'; '.join(summary[-2:])}")
    if done.returncode != 0:
        print(f"HTTP FAILED:\n{done.stdout[-6000:]}{done.stderr[-3000:]}")
    return done.returncode == 0


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cardiomesh-fuzz-"))
    with Mesh(ROOT / "model_repository", directory=folder / "mesh") as mesh:
        pid = mesh.status().processes["gateway"].pid or 0
        sender = Sender(mesh.addresses.gateway, (("authorization", f"Bearer {mesh.api_key}"),))
        wrong = sender.whole()
        before = resident_mib(pid)
        started = time.monotonic()
        well = rpcs(mesh, chosen.seconds / 2, chosen.seed, folder)
        well &= http(mesh, chosen.seconds / 2, chosen.seed, folder)
        after = resident_mib(pid)
        wrong = wrong or sender.whole()
        sender.close()
        httpx.get(f"http://{mesh.addresses.http}/readyz", timeout=30).raise_for_status()
    print(f"gateway of the mesh: {before:.0f} MiB before, {after:.0f} MiB after {time.monotonic() - started:.0f} s")
    if wrong or after > MOST_MIB:
        print(f"FAILED: {wrong or 'too much memory'}")
    return 0 if well and not wrong and after <= MOST_MIB else 1


if __name__ == "__main__":
    raise SystemExit(main())
