"""The Triton runtime environment: built once from wheels, used offline ever after.

``<runtime dir>/triton`` is a virtual environment of its own, because Triton 2.51's Python stub needs numpy 1
while everything else here runs on numpy 2::

    pins.json                       what it was built from; a change rebuilds it
    bin/python                      the interpreter that Triton's stubs embed
    lib/pythonX.Y/site-packages/    nvidia-pytriton (the server), onnxruntime, numpy
    backends/python/                the library, its utils and the stub for this Python
    backends/onnxruntime/model.py   our backend under the production backend's name
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cardiomesh.local.errors import MissingPart, RuntimeBuildFailed

__all__ = ["PINS", "TritonRuntime", "default_runtime_dir", "ensure_triton", "find_libpython", "pins"]

#: Installed without their dependencies: the server and the two libraries its models import, nothing else.
PINS: Final = ("nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.32.0")
#: Bump when the layout of the environment changes.
LAYOUT: Final = 1
#: What a user's shell may hold that would lead this environment to packages outside it.
_STRAY: Final = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV")
_PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_BACKEND_SOURCE: Final = Path(__file__).parent / "backend" / "onnxruntime" / "model.py"


def default_runtime_dir() -> Path:
    """``CARDIOMESH_RUNTIME_DIR``, or ``.runtime`` in the current directory."""
    return Path(os.environ.get("CARDIOMESH_RUNTIME_DIR", ".runtime")).resolve()


@dataclass(frozen=True, slots=True)
class TritonRuntime:
    """Where the parts of a built environment lie."""

    root: Path
    library_path: tuple[Path, ...]

    @property
    def python(self) -> Path:
        """The environment's interpreter (numpy 1, onnxruntime)."""
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where pip put the wheels."""
        return self.root / "lib" / _PYTHON / "site-packages"

    @property
    def server(self) -> Path:
        """The tritonserver binary."""
        return self.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """The directory for ``--backend-directory``."""
        return self.root / "backends"

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment in which the server, its stubs and ``python`` find these wheels and no others."""
        kept = {name: value for name, value in base.items() if name not in _STRAY}
        library_path = [str(path) for path in self.library_path]
        if base.get("LD_LIBRARY_PATH"):
            library_path.append(base["LD_LIBRARY_PATH"])
        return kept | {
            # The stub embeds Python; it finds its environment through the first python3 on PATH.
            "PATH": os.pathsep.join([str(self.root / "bin"), base.get("PATH", os.defpath)]),
            "LD_LIBRARY_PATH": os.pathsep.join(library_path),
            "VIRTUAL_ENV": str(self.root),
            "PYTHONNOUSERSITE": "1",
        }


def pins() -> dict[str, object]:
    """Everything a built environment depends on."""
    return {
        "layout": LAYOUT,
        "packages": list(PINS),
        "python": sys.version.split()[0],
        "base": sys.base_prefix,
    }


def find_libpython() -> Path | None:
    """Directory of the shared libpython of this interpreter; None when the loader finds it by itself.

    Triton's stub links to it. Debian's own python3 does not bring it along.
    """
    soname = f"lib{_PYTHON}.so.1.0"
    library = sysconfig.get_config_var("LIBDIR") or ""
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for directory in (Path(library), Path(sys.base_prefix, "lib"), Path(library, multiarch)):
        if (directory / soname).is_file():
            return directory
    try:
        ctypes.CDLL(soname)
    except OSError as error:
        raise MissingPart(
            f"Triton's Python stub needs {soname}, which this Python ({sys.executable}) does not come with. "
            f"On Debian or Ubuntu install the package lib{_PYTHON}; with pyenv rebuild Python with "
            "PYTHON_CONFIGURE_OPTS=--enable-shared."
        ) from error
    return None


def ensure_triton(runtime_dir: Path | None = None, progress: Callable[[str], None] = lambda _: None) -> TritonRuntime:
    """The environment, built now if it is not there or was built from other pins.

    Safe to call from several processes at once; ``progress`` hears one short sentence per step.
    """
    if sys.platform != "linux":
        raise MissingPart("the embedded Triton runs on Linux (x86-64) only")
    directory = (runtime_dir or default_runtime_dir()).resolve()
    target = directory / "triton"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeBuildFailed(f"{directory} cannot be made: {error.strerror}") from error
    with _locked(directory / "triton.lock", progress):
        if not _is_current(target):
            _build(target, progress)
        runtime = _runtime(target)
        _install_backend(runtime)
    return runtime


def _is_current(target: Path) -> bool:
    try:
        built: object = json.loads((target / "pins.json").read_text())
    except (OSError, ValueError):
        return False
    return built == pins()


def _runtime(root: Path) -> TritonRuntime:
    libraries = root / "lib" / _PYTHON / "site-packages" / "nvidia_pytriton.libs"
    libpython = find_libpython()
    return TritonRuntime(root, (libraries,) if libpython is None else (libraries, libpython))


@contextmanager
def _locked(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that builds the Triton environment")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(target: Path, progress: Callable[[str], None]) -> None:
    find_libpython()  # before 60 MB are fetched for nothing
    for leftover in target.parent.glob(f".{target.name}-*"):  # of a build that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with_pip = importlib.util.find_spec("pip") is not None
        progress("creating the Triton environment")
        _call([sys.executable, "-m", "venv", *(["--without-pip"] if with_pip else []), str(temporary)])
        python = str(temporary / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python] if with_pip else [python, "-m", "pip"]
        progress(f"installing {', '.join(PINS)}")
        _call([*pip, "install", "--disable-pip-version-check", "--no-input", "--no-deps", *PINS])
        _assemble_backends(_runtime(temporary))
        progress("checking the Triton environment")
        _check(_runtime(temporary))
        (temporary / "pins.json").write_text(json.dumps(pins(), indent=2) + "\n")
        if target.exists():
            shutil.rmtree(target)
        temporary.chmod(0o755)
        temporary.rename(target)
    except OSError as error:
        raise RuntimeBuildFailed(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _call(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _STRAY}
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        last = "\n".join((result.stdout + result.stderr).strip().splitlines()[-12:])
        raise RuntimeBuildFailed(
            f"building the Triton environment failed (exit {result.returncode}): {' '.join(command)}\n{last}"
        )


def _assemble_backends(runtime: TritonRuntime) -> None:
    triton = runtime.site_packages / "pytriton" / "tritonserver"
    version = _PYTHON.removeprefix("python")
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise MissingPart(f"{PINS[0]} has no stub for Python {version}")
    python_backend = runtime.backends / "python"
    shutil.copytree(triton / "backends" / "python", python_backend)
    shutil.copy2(stub, python_backend)
    _install_backend(runtime)


def _install_backend(runtime: TritonRuntime) -> None:
    """Our backend is part of this package, not of the pins: keep it in step with the code that runs."""
    installed = runtime.backends / "onnxruntime" / "model.py"
    source = _BACKEND_SOURCE.read_bytes()
    if installed.is_file() and installed.read_bytes() == source:
        return
    installed.parent.mkdir(parents=True, exist_ok=True)
    temporary = installed.with_suffix(".new")
    temporary.write_bytes(source)
    temporary.replace(installed)


def _check(runtime: TritonRuntime) -> None:
    """Every binary must load here, and numpy must be the one the stub can talk to."""
    code = "import numpy, onnxruntime; assert int(numpy.__version__.split('.')[0]) < 2, numpy.__version__"
    stub = runtime.backends / "python" / "triton_python_backend_stub"
    # Started without arguments the stub and the server print their usage and exit 1; what cannot be loaded
    # exits 127 before that.
    for command in ([str(runtime.python), "-c", code], [str(stub)], [str(runtime.server), "--help"]):
        result = subprocess.run(
            command, env=runtime.environment(), capture_output=True, text=True, check=False, timeout=120
        )
        python_failed = command[0] == str(runtime.python) and result.returncode != 0
        if result.returncode in (126, 127) or result.returncode < 0 or python_failed:
            raise RuntimeBuildFailed(f"{Path(command[0]).name} does not start here: {result.stderr.strip()}")
