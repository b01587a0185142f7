"""The scripts that run in pods, and the manifest they check, run here for real."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardiomesh.local import Addresses
from helm.tools.models_manifest import write
from helm.tools.render import parse, template
from helm.tools.values import CHART

FILES = CHART / "files"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "m" / "1").mkdir(parents=True)
    (folder / "m" / "config.pbtxt").write_text('name: "m"\n')
    (folder / "m" / "1" / "model.onnx").write_bytes(bytes(range(256)) * 64)
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder, and the address under which a real HTTP server serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def _archive(repository: Path, target: Path) -> str:
    with tarfile.open(target, "w:gz") as tar:
        for child in sorted(repository.iterdir()):
            tar.add(child, child.name)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def _fetch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FILES / "fetch_models.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_archive_is_fetched_and_unpacked(repository: Path, served: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = served
    digest = _archive(repository, folder / "m.tar.gz")
    target = tmp_path / "models"
    target.mkdir()
    done = _fetch(f"{url}/m.tar.gz", digest, str(target))
    assert done.returncode == 0, done.stderr
    assert "1 models: m" in done.stdout
    assert (target / "m" / "1" / "model.onnx").read_bytes() == (repository / "m" / "1" / "model.onnx").read_bytes()


def test_nothing_is_unpacked_from_an_archive_that_is_another(
    repository: Path, served: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = served
    _archive(repository, folder / "m.tar.gz")
    target = tmp_path / "models"
    target.mkdir()
    done = _fetch(f"{url}/m.tar.gz", "0" * 64, str(target))
    assert done.returncode == 1
    assert "SHA-256 is" in done.stderr
    assert list(target.iterdir()) == []


def test_an_archive_that_leads_out_of_its_folder_is_refused(served: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = served
    (tmp_path / "evil").write_text("x")
    with tarfile.open(folder / "m.tar", "w") as tar:
        tar.add(tmp_path / "evil", "../outside")
    digest = hashlib.sha256((folder / "m.tar").read_bytes()).hexdigest()
    target = tmp_path / "models"
    target.mkdir()
    assert _fetch(f"{url}/m.tar", digest, str(target)).returncode != 0
    assert not (tmp_path / "outside").exists()


def test_only_the_web_is_fetched_from(tmp_path: Path) -> None:
    done = _fetch("file:///etc/passwd", "0" * 64, str(tmp_path))
    assert done.returncode == 1
    assert "only http and https" in done.stderr


def _init_container(folder: Path, digest: str) -> subprocess.CompletedProcess[str]:
    """What the chart's init container runs after its copy."""
    script = 'echo "$MODELS_SHA256  SHA256SUMS" | sha256sum -c -\nsha256sum -c SHA256SUMS\n'
    assert script in (CHART / "templates" / "_models.tpl").read_text(encoding="utf-8").replace("        ", "")
    return subprocess.run(
        ["sh", "-ec", script],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "MODELS_SHA256": digest},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_init_container_accepts_the_manifest_and_nothing_else(repository: Path) -> None:
    digest = write(repository)
    assert _init_container(repository, digest).returncode == 0
    assert _init_container(repository, "0" * 64).returncode != 0
    (repository / "m" / "1" / "model.onnx").write_bytes(b"other weights")
    assert _init_container(repository, digest).returncode != 0


def test_the_manifest_is_the_same_for_the_same_files(repository: Path) -> None:
    assert write(repository) == write(repository)


@pytest.mark.mesh
def test_the_pod_of_helm_test_analyses_and_explains_on_a_real_mesh(addresses: Addresses) -> None:
    done = _test_pod(CARDIOMESH_GATEWAY=f"dns:///{addresses.gateway}")
    assert done.returncode == 0, done.stderr
    assert "explained" in done.stdout


def test_the_pod_of_helm_test_fails_where_there_is_no_gateway() -> None:
    done = _test_pod("--timeout", "2", CARDIOMESH_GATEWAY="127.0.0.1:1")
    assert done.returncode == 3
    assert "UNAVAILABLE" in done.stdout or "DEADLINE_EXCEEDED" in done.stdout


def _test_pod(*more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command that the chart gives it, and then some."""
    (pod,) = [
        o["spec"]["template"]["spec"]["containers"][0]
        for o in parse(template("--set", "valkey.enabled=true"))
        if o["kind"] == "Job" and o["metadata"]["name"].endswith("-test")
    ]
    command = [sys.executable, "-m", "cardiomesh.cli", *pod["command"][1:], *pod.get("args", []), *more]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
