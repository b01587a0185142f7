"""Settings come from the environment, are documented, and a wrong one is one clear line."""

from __future__ import annotations

from typing import Any

import pytest

from cardiomesh.chassis.settings import ServiceSettings, load_settings
from explainer.settings import ExplainerSettings
from gateway.settings import GatewaySettings
from preprocessor.settings import PreprocessorSettings

ALL = [GatewaySettings, ExplainerSettings, PreprocessorSettings]


@pytest.mark.parametrize("cls", ALL)
def test_every_setting_is_documented_and_listed_by_help(cls: type[ServiceSettings], capsys: Any) -> None:
    assert all(field.description for field in cls.model_fields.values())
    with pytest.raises(SystemExit) as ended:
        load_settings(cls, "service", ["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"CARDIOMESH_{name.upper()}" in text for name in cls.model_fields)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDIOMESH_DEFAULT_MODEL", "edge_optimized")
    assert load_settings(GatewaySettings, "gateway", []).default_model == "edge_optimized"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CARDIOMESH_CACHE_TTL_S", "soon"),
        ("CARDIOMESH_DRAIN_GRACE_S", "-1"),
        ("CARDIOMESH_LOG_LEVEL", "LOUD"),
        ("CARDIOMESH_ANONYMOUS_TENANT", "Not A Slug"),
        ("CARDIOMESH_TLS_KEY", "/etc/key.pem"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_2(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_settings(GatewaySettings, "gateway", [])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_arguments_are_refused(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        load_settings(GatewaySettings, "gateway", ["--port", "1"])
    assert ended.value.code == 2
