from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cardiomesh.local import runtime
from cardiomesh.local.errors import MissingPart, RuntimeBuildFailed
from cardiomesh.local.runtime import PINS, TritonRuntime, default_runtime_dir, ensure_triton, pins


def test_every_pin_is_exact() -> None:
    assert all(name and version for name, _, version in (pin.partition("==") for pin in PINS))
    (numpy,) = [pin for pin in PINS if pin.startswith("numpy==")]
    assert numpy.startswith("numpy==1.")  # the server's stub empties every output under numpy 2


def test_where_it_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARDIOMESH_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    assert default_runtime_dir() == tmp_path / "elsewhere"
    monkeypatch.delenv("CARDIOMESH_RUNTIME_DIR")
    monkeypatch.chdir(tmp_path)
    assert default_runtime_dir() == tmp_path / ".runtime"


def built(directory: Path, record: object) -> Path:
    """What a finished build leaves, as far as ``ensure_triton`` looks at it."""
    root = directory / "triton"
    root.mkdir(parents=True)
    (root / "pins.json").write_text(json.dumps(record))
    return root


def test_a_built_environment_is_used_as_it_is_and_gets_the_current_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = built(tmp_path, pins())
    monkeypatch.setattr(runtime, "PINS", PINS)

    def no_build(target: Path, progress: object) -> None:
        raise AssertionError(f"{target} was built again")

    monkeypatch.setattr(runtime, "_build", no_build)
    found = ensure_triton(tmp_path)
    backend = found.backends / "onnxruntime" / "model.py"
    assert backend.read_bytes() == runtime._BACKEND_SOURCE.read_bytes()
    backend.write_text("of an older release")
    ensure_triton(tmp_path)
    assert backend.read_bytes() == runtime._BACKEND_SOURCE.read_bytes()
    assert found.root == root


@pytest.mark.parametrize("record", [{}, "broken", pins() | {"packages": ["numpy==1.0"]}, pins() | {"python": "3.11.0"}])
def test_other_pins_or_another_python_rebuild_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: object
) -> None:
    built(tmp_path, record)
    asked: list[Path] = []

    def build(target: Path, progress: object) -> None:
        asked.append(target)

    monkeypatch.setattr(runtime, "_build", build)
    ensure_triton(tmp_path)
    assert asked == [tmp_path / "triton"]


def test_a_failed_pip_is_quoted_and_leaves_nothing_half_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "nvidia_pytriton-0.7.0-py3-none-any.whl"
    monkeypatch.setattr(runtime, "PINS", (str(missing),))
    said: list[str] = []
    with pytest.raises(RuntimeBuildFailed, match=r"nvidia_pytriton-0\.7\.0-py3-none-any\.whl") as failure:
        ensure_triton(tmp_path / "runtime", said.append)
    assert "exit 1" in failure.value.message
    assert "ERROR" in failure.value.message
    assert said[0] == "creating the Triton environment"
    assert [path.name for path in (tmp_path / "runtime").iterdir()] == ["triton.lock"]


def test_an_impossible_directory_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeBuildFailed, match="cannot be made"):
        ensure_triton(tmp_path / "file" / "runtime")


def test_a_python_without_its_library_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime, "_PYTHON", "python3.99")
    with pytest.raises(MissingPart, match=r"install the package libpython3\.99"):
        runtime.find_libpython()


def test_the_environment_leads_to_these_wheels_and_no_others(tmp_path: Path) -> None:
    found = TritonRuntime(tmp_path, (tmp_path / "libs", tmp_path / "python"))
    environment = found.environment(
        {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/theirs", "PYTHONPATH": "/site-with-numpy-2", "HOME": "/home/other"}
    )
    assert environment["PATH"].split(":")[0] == str(tmp_path / "bin")
    assert environment["LD_LIBRARY_PATH"] == f"{tmp_path}/libs:{tmp_path}/python:/theirs"
    assert "PYTHONPATH" not in environment
    assert environment["HOME"] == "/home/other"
    assert sys.version_info[:2] == tuple(int(part) for part in runtime._PYTHON.removeprefix("python").split("."))
