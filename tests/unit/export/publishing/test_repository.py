"""Changes of the repository: whole or not at all, whatever happens halfway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.errors import GateError, WorkshopError
from export.publishing.repository import changing, newest_folder, next_version, versions, withdraw_version
from tests.conftest import ROOT


def install(repository: Path, name: str, number: int, text: str, overwrite: bool = False) -> Path:
    with changing(repository) as change:
        (change.version_folder(name, number, overwrite) / "model.onnx").write_text(text)
        change.write_text(Path(name, "config.pbtxt"), f"configuration of {number}: {text}")
        change.write_text(Path(name, "configs", "gpu.pbtxt"), f"gpu of {number}: {text}")
        change.write_text(Path(name, "README.md"), f"about {number}")
    return repository / name / str(number)


def test_versions_count_up_and_shadow_nothing(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    assert next_version(repository, "m", "m_attribution") == 1
    install(repository, "m", 1, "one")
    install(repository, "m_attribution", 3, "explained")
    assert next_version(repository, "m", "m_attribution") == 4
    assert versions(repository, "m") == [1]
    assert newest_folder(repository, "m") == repository / "m" / "1"
    with pytest.raises(WorkshopError, match=r"no such version of m \(it has: 1\)"):
        newest_folder(repository, "m", 2)


def test_a_published_version_is_never_changed(tmp_path: Path, contents: Any) -> None:
    repository = tmp_path / "models"
    install(repository, "m", 1, "one")
    before = contents(tmp_path)
    with pytest.raises(GateError, match="never changed"):
        install(repository, "m", 1, "other")
    assert contents(tmp_path) == before
    install(repository, "m", 1, "other", overwrite=True)
    assert (repository / "m" / "1" / "model.onnx").read_text() == "other"


@pytest.mark.parametrize("existing", [True, False])
def test_an_error_while_preparing_leaves_nothing(tmp_path: Path, contents: Any, existing: bool) -> None:
    repository = tmp_path / "models"
    if existing:
        install(repository, "m", 1, "one")
    before = contents(tmp_path)

    def prepare() -> None:
        with changing(repository) as change:
            change.version_folder("m", 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare()
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == (["models"] if existing else [])


@pytest.mark.parametrize("done", range(7))
def test_an_error_between_two_renames_undoes_the_first(
    tmp_path: Path, contents: Any, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    repository = tmp_path / "models"
    install(repository, "m", 1, "one")
    before = contents(tmp_path)
    rename, count = os.rename, 0

    def failing(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == done + 1:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="No space"):
        install(repository, "m", 2, "two")
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.export.publishing.test_repository import install
rename, count = os.rename, 0
def killing(source, target):
    global count
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    rename(source, target)
os.rename = killing
install(Path(sys.argv[1]), "m", 2, "two")
"""


@pytest.mark.parametrize("done", [0, 3, 6])
def test_what_a_killed_publisher_left_is_undone_by_the_next(tmp_path: Path, contents: Any, done: int) -> None:
    repository = tmp_path / "models"
    install(repository, "m", 1, "one")
    before = contents(repository)
    killed = subprocess.run([sys.executable, "-c", _KILLED, repository, str(done)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    if done:
        assert contents(repository) != before

    def look() -> None:
        with changing(repository):
            raise LookupError

    with pytest.raises(LookupError):
        look()
    assert contents(repository) == before
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_two_publishers_at_once_are_one_too_many(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    with changing(repository), pytest.raises(WorkshopError, match="another publisher"):
        install(repository, "m", 1, "one")


def test_a_publisher_leaves_the_scratch_folder_of_another_repository_alone(tmp_path: Path) -> None:
    with changing(tmp_path / "models-2") as change:
        folder = change.version_folder("m", 1)
        install(tmp_path / "models", "m", 1, "one")
        (folder / "model.onnx").write_text("two")
    assert (tmp_path / "models-2" / "m" / "1" / "model.onnx").read_text() == "two"


def test_a_served_version_can_be_read_by_another_user(tmp_path: Path) -> None:
    place = install(tmp_path / "models", "m", 1, "one")
    assert place.stat().st_mode & 0o777 == 0o755
    assert (place / "model.onnx").stat().st_mode & 0o777 == 0o644


def test_rollback_restores_every_byte_that_describes_and_never_reuses_a_number(tmp_path: Path, contents: Any) -> None:
    repository = tmp_path / "models"
    for name in ("m", "m_attribution"):
        install(repository, name, 1, "one")
    before = contents(repository)
    for name in ("m", "m_attribution"):
        install(repository, name, 2, "two")
    assert (repository / "m" / "config.pbtxt").read_text() == "configuration of 2: two"
    assert withdraw_version(repository, "m", "m_attribution") == 2
    assert versions(repository, "m") == versions(repository, "m_attribution") == [1]
    after = contents(repository)
    assert {path: after[path] for path in before} == before
    assert all("withdrawn-2" in path for path in after.keys() - before.keys())
    assert (repository / "m" / "withdrawn-2" / "config.pbtxt").read_text() == "configuration of 2: two"
    assert next_version(repository, "m", "m_attribution") == 3
    with pytest.raises(GateError, match="none to go back to"):
        withdraw_version(repository, "m", "m_attribution")
