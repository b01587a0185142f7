"""The compose files, by the compose specification's own types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cardiomesh.chassis.settings import PREFIX
from explainer.settings import ExplainerSettings
from gateway.settings import GatewaySettings
from preprocessor.settings import PreprocessorSettings

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "docker-compose.yml"
OVERLAYS = sorted((ROOT / "deploy").glob("compose.*.yml"))
SETTINGS = {"gateway": GatewaySettings, "preprocessor": PreprocessorSettings, "explainer": ExplainerSettings}


def _load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return loaded


def _specified(text: str) -> Any:
    compose_spec = pytest.importorskip("compose_spec", reason="needs compose-spec, of the dev extra")
    return compose_spec.PyCompose.from_yaml(text)


@pytest.mark.parametrize("file", [BASE, *OVERLAYS], ids=lambda file: file.name)
def test_the_specification_accepts_it(file: Path) -> None:
    # Anchors are YAML's, not the specification's: they are resolved first, as Docker does.
    assert set(_specified(yaml.safe_dump(_load(file))).service_names()) == set(_load(file)["services"])


def test_the_specification_notices_what_is_wrong() -> None:
    for wrong in ("services: {a: {imagge: x}}", "services: {a: {image: x, restart: sometimes}}"):
        with pytest.raises(ValueError, match="a"):
            _specified(wrong)


def test_services_understand_their_environment() -> None:
    for file in [BASE, *OVERLAYS]:
        for name, service in _load(file)["services"].items():
            given = {key for key in service.get("environment", {}) if key.startswith(PREFIX)}
            if name in SETTINGS:
                assert {key.removeprefix(PREFIX).lower() for key in given} <= SETTINGS[name].model_fields.keys()


def test_services_dial_services_that_are_there() -> None:
    services = _load(BASE)["services"]
    for service in services.values():
        for value in service.get("environment", {}).values():
            for host in re.findall(r"(?:dns:///|redis://)([a-z]+):\d+", str(value)):
                assert host in services
                assert set(services[host]["networks"]) & set(service["networks"])


def test_nothing_but_loopback_is_published_and_the_mesh_has_no_way_out() -> None:
    for file in [BASE, *OVERLAYS]:
        for service in _load(file)["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert _load(BASE)["networks"]["mesh"]["internal"] is True


def test_containers_gain_nothing() -> None:
    for service in _load(BASE)["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert not service.get("privileged")
        assert not service["image"].endswith(":latest")


def test_mounted_files_exist() -> None:
    for file in [BASE, *OVERLAYS]:
        for service in _load(file)["services"].values():
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                if source.startswith("."):
                    assert (ROOT / source).exists(), volume


def test_containers_drain_before_they_are_killed() -> None:
    for name, settings in SETTINGS.items():
        service = _load(BASE)["services"][name]
        fields = settings.model_fields
        given = service.get("environment", {})
        seconds = sum(
            float(given.get(f"{PREFIX}{key.upper()}", fields[key].default))
            for key in ("drain_delay_s", "drain_grace_s")
        )
        assert float(service["stop_grace_period"].removesuffix("s")) > seconds


def test_triton_is_started_as_in_the_chart() -> None:
    chart = (ROOT / "helm" / "cardiomesh" / "templates" / "triton.yaml").read_text(encoding="utf-8")
    for flag in _load(BASE)["services"]["triton"]["command"]:
        assert flag.partition("=")[0] in chart
    values = yaml.safe_load((ROOT / "helm" / "cardiomesh" / "values.yaml").read_text(encoding="utf-8"))
    image = values["triton"]["image"]
    assert _load(BASE)["services"]["triton"]["image"] == f"{image['repository']}:{image['tag']}"
