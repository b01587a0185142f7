"""Schemas of the API server, golden renders, rules: what `make helm-check` checks."""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
from collections.abc import Callable

import pytest

from helm.tools import check
from helm.tools.binaries import find
from helm.tools.render import PROFILES, Object
from helm.tools.values import CHART

Render = Callable[..., list[Object]]
needs_schemas = pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None, reason="needs kubernetes-validate: make helm-tools"
)


@pytest.mark.parametrize("profile", PROFILES)
def test_golden_renders(render: Render, profile: str) -> None:
    render()
    assert check.golden(profile) == (check.GOLDEN / f"{profile}.yaml").read_text(encoding="utf-8"), (
        "the chart renders something else: `make helm-golden`, and look at the diff"
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_an_upgrade_from_the_last_release_changes_no_immutable_field(render: Render, profile: str) -> None:
    render()
    released = json.loads(check.RELEASED.read_text(encoding="utf-8"))[profile]
    assert len(released) > 10
    assert check.breaks_upgrade(released, check.immutable(profile)) == []


def test_a_changed_selector_is_noticed(render: Render) -> None:
    render()
    released = json.loads(check.RELEASED.read_text(encoding="utf-8"))["trial"]
    now = check.immutable("trial")
    now["Deployment/cardiomesh-gateway"]["selector"]["matchLabels"]["version"] = "2"
    now["Service/cardiomesh-triton-headless"]["clusterIP"] = ""
    assert len(check.breaks_upgrade(released, now)) == 2


@needs_schemas
@pytest.mark.parametrize("version", [check.VERSIONS[0], check.VERSIONS[-1]])
def test_the_api_server_would_take_it(render: Render, version: str) -> None:
    assert list(check.schema_errors(render(profile="cpu"), version)) == []


@needs_schemas
def test_the_api_servers_schema_notices_a_wrong_and_an_unknown_field(render: Render) -> None:
    objects = copy.deepcopy(render())
    deployment = next(o for o in objects if o["kind"] == "Deployment")
    deployment["spec"]["replicas"] = "two"
    service = next(o for o in objects if o["kind"] == "Service")
    service["spec"]["clusterIp"] = "None"
    said = "\n".join(check.schema_errors([deployment, service], check.VERSIONS[-1]))
    assert "replicas" in said
    assert "clusterIp" in said


def test_promtool_accepts_and_unit_tests_every_rule() -> None:
    promtool = find("promtool")
    if promtool is None:
        pytest.skip("needs promtool: Debian package prometheus, or CARDIOMESH_PROMTOOL")
    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "rules-test.yaml"]):
        done = subprocess.run(
            [str(promtool), *arguments], cwd=CHART / "files", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_schemas
@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_helm_check(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["check"])
    with pytest.raises(SystemExit) as done:
        check.main()
    assert done.value.code == 0
