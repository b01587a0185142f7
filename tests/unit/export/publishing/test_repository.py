from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.errors import GateError
from export.publishing.repository import (
    install_version,
    next_version,
    staging,
    versions,
    withdraw_version,
    write_text,
)


def _install(repository: Path, name: str, number: int, text: str, overwrite: bool = False) -> Path:
    with staging(repository) as scratch:
        staged = scratch / "main"
        staged.mkdir()
        write_text(staged / "model.onnx", text)
        return install_version(staged, repository, name, number, overwrite)


def test_versions_count_up_and_shadow_nothing(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    assert next_version(repository, "m", "m_attribution") == 1
    _install(repository, "m", 1, "one")
    _install(repository, "m_attribution", 3, "explained")
    assert next_version(repository, "m", "m_attribution") == 4
    (repository / "m" / "configs").mkdir()
    assert versions(repository, "m") == [1]


def test_a_published_version_is_never_changed(tmp_path: Path, contents: Any) -> None:
    repository = tmp_path / "models"
    _install(repository, "m", 1, "one")
    before = contents(tmp_path)
    with pytest.raises(GateError, match="never changed"):
        _install(repository, "m", 1, "other")
    assert contents(tmp_path) == before


def test_an_error_while_staging_leaves_nothing(tmp_path: Path, contents: Any) -> None:
    repository = tmp_path / "models"
    _install(repository, "m", 1, "one")
    before = contents(tmp_path)

    def killed() -> None:
        with staging(repository) as scratch:
            write_text(scratch / "model.onnx", "half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        killed()
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_a_served_version_can_be_read_by_another_user(tmp_path: Path) -> None:
    place = _install(tmp_path / "models", "m", 1, "one")
    assert place.stat().st_mode & 0o777 == 0o755
    assert (place / "model.onnx").stat().st_mode & 0o777 == 0o644


def test_rollback_keeps_the_bytes_and_never_reuses_a_number(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    for number in (1, 2):
        _install(repository, "m", number, str(number))
        _install(repository, "m_attribution", number, str(number))
    assert withdraw_version(repository, "m", "m_attribution") == 2
    assert versions(repository, "m") == versions(repository, "m_attribution") == [1]
    assert (repository / "m" / "withdrawn-2" / "model.onnx").read_text() == "2"
    assert next_version(repository, "m", "m_attribution") == 3
    with pytest.raises(GateError, match="none to go back to"):
        withdraw_version(repository, "m", "m_attribution")
