"""The images' steps, executed in plain shells and virtual environments: no Docker engine is needed, none is used.

Not shown by this: base images, file ownership, users, labels, and that the engine reads the recipes as we do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cardiomesh.local.ports import free_ports
from helm.tools.models_manifest import manifest
from tests.unit.images import dockerfile

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("gateway", "preprocessor", "explainer")


def _pins(text: str) -> set[str]:
    """``name==version`` lines, names as package indexes compare them (PEP 503)."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}" for name, version in pins}


def test_the_models_image_holds_the_manifest_that_the_values_name(tmp_path: Path) -> None:
    builder = dockerfile.Builder(ROOT, tmp_path, Path(sys.executable))
    builder.run(dockerfile.parse(ROOT / "deploy" / "models.Dockerfile"))
    shipped = builder.place("/model_repository", "")
    assert (shipped / "SHA256SUMS").read_text(encoding="utf-8") == manifest(shipped)
    assert list(shipped.glob("*/config.pbtxt"))


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", SERVICES)
def test_a_services_image_starts_and_is_found_healthy(service: str, tmp_path: Path) -> None:
    """Needs a package index. The lock file's versions are installed, the installer is gone, the service lives."""
    stages = dockerfile.parse(ROOT / service / "Dockerfile")
    builder = dockerfile.Builder(ROOT, tmp_path, Path(sys.executable).resolve())
    builder.run(stages)
    # The engine copies /opt/venv to /opt/venv; a venv that was moved would not be what is shipped.
    venv = builder.place("/opt/venv", "build")
    assert builder.place("/opt/venv", "").is_dir()
    assert not list(venv.glob("lib/python*/site-packages/pip/"))
    locked = _pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    shipped = _pins((venv / "packages.txt").read_text(encoding="utf-8"))
    assert len(shipped) > 10
    assert shipped - locked == set()

    final = stages[""]
    grpc, http = free_ports(2)
    environment = {name: value for name, value in final.environment().items() if name != "PATH"} | {
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
        "CARDIOMESH_GRPC_ADDRESS": f"127.0.0.1:{grpc}",
        "CARDIOMESH_HTTP_ADDRESS": f"127.0.0.1:{http}",
    }
    entrypoint = json.loads(final.all("ENTRYPOINT")[0])
    helped = subprocess.run(
        [*entrypoint, "--help"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert helped.returncode == 0, helped.stderr
    assert "CARDIOMESH_GRPC_ADDRESS" in helped.stdout
    if service == "gateway":
        # `helm test` and the migration run in this image: all that they need is there, only a gateway is not.
        watch = ["cardiomesh", "watch", "--gateway", "127.0.0.1:1", "--timeout", "1"]
        watched = subprocess.run(watch, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert watched.returncode == 3, watched.stderr
        store = f"sqlite:///{tmp_path / 'store.sqlite'}"
        migrate = ["cardiomesh", "store", "migrate", "--store", store]
        subprocess.run(migrate, env=environment, cwd=tmp_path, check=True)
    check = json.loads(final.all("HEALTHCHECK")[0].partition("CMD ")[2].replace(":8080/", f":{http}/"))
    with subprocess.Popen(entrypoint, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while subprocess.run(check, env=environment, capture_output=True, check=False).returncode:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
        process.terminate()
        assert process.wait(30) == 0
