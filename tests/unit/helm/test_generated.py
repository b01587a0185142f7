"""What is generated from the values, the settings and the metrics is what they say."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cardiomesh.chassis.schema import METRICS
from cardiomesh.chassis.telemetry import Telemetry
from helm.tools import dashboards, readme, schema
from helm.tools.render import PROFILES
from helm.tools.values import CHART, documented, load

ROOT = CHART.parents[1]
#: As Triton's own /metrics names them (docs of Triton, "Metrics").
TRITON = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_pending_request_count",
    "nv_cpu_utilization",
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
}
OTHERS = {"up", "certmanager_certificate_expiration_timestamp_seconds"}


def test_the_schema_is_generated() -> None:
    assert schema.SCHEMA.read_text(encoding="utf-8") == schema.render(), "make helm-docs"


def test_the_readme_is_generated() -> None:
    assert readme.README.read_text(encoding="utf-8") == readme.render(), "make helm-docs"


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_the_dashboards_are_generated(uid: str) -> None:
    assert (dashboards.FOLDER / f"{uid}.json").read_text(encoding="utf-8") == dashboards.render(uid), "make helm-docs"


def _lost(before: object, after: object, path: str = "") -> list[str]:
    """Paths of what did not survive."""
    if isinstance(before, dict):
        kept = after if isinstance(after, dict) else {}
        return [lost for key, value in before.items() for lost in _lost(value, kept.get(key), f"{path}.{key}")]
    if isinstance(before, list):
        both = zip(before, after, strict=True) if isinstance(after, list) and len(after) == len(before) else ()
        return [lost for a, b in both for lost in _lost(a, b, f"{path}[]")] if both else [path] * bool(before)
    return [] if before == after else [path]


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_grafanas_own_types_hold_all_of_a_dashboard(uid: str) -> None:
    """What Grafana's schema does not know would be lost on the way through its types."""
    types = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="of the dev extra")
    encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    ours = dashboards.build(uid)
    theirs = json.loads(encoder.JSONEncoder().encode(types.Dashboard.from_json(ours)))
    assert _lost(ours, theirs) == []
    ours["panels"][0]["titel"] = "misspelt"
    again = json.loads(encoder.JSONEncoder().encode(types.Dashboard.from_json(ours)))
    assert _lost(ours, again) == [".panels[].titel"]


def test_every_value_of_the_services_has_a_sentence() -> None:
    described = {value.path[:2] for value in documented()}
    missing = {(part, key) for part in ("gateway", "triton", "tls", "models") for key in load()[part]} - described
    # Groups whose members have their own sentences.
    groups = {(path[0], path[1]) for path in (value.path for value in documented()) if len(path) > 2}
    assert missing - groups == set()


def _merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges: mappings key by key, everything else replaced."""
    both = {
        key: _merged(defaults[key], value) if isinstance(value, dict) and isinstance(defaults.get(key), dict) else value
        for key, value in given.items()
    }
    return defaults | both


@pytest.mark.parametrize("profile", ["", *PROFILES])
def test_values_fit_their_schema(profile: str) -> None:
    values = _merged(load(), load(CHART / f"values-{profile}.yaml")) if profile else load()
    jsonschema.validate(values, json.loads(schema.render()))


def test_a_settings_name_comes_from_the_service_and_wired_ones_are_left_out() -> None:
    properties = schema.build()["properties"]["gateway"]["properties"]["settings"]["properties"]
    assert "default_model" in properties
    assert not schema.WIRED & properties.keys()


def _exported() -> set[str]:
    """The names that /metrics really prints once every instrument was used."""
    telemetry = Telemetry("test")
    for name, spec in METRICS.items():
        if spec.kind == "histogram":
            telemetry.observe(name, 1.0, dict.fromkeys(spec.attributes, "x"))
        elif spec.kind == "counter":
            telemetry.count(name, dict.fromkeys(spec.attributes, "x"))
        else:
            telemetry.gauge(name, lambda: 1)
    text = telemetry.exposition()[0].decode()
    telemetry.close()
    return set(re.findall(r"^(cardiomesh_\w+)[{ ]", text, re.MULTILINE))


def _asked(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"|\$\w+|\b(by|without|on|ignoring)\s*\([^)]*\)', "", expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    return set(re.findall(r"\b(?:cardiomesh[\w:]+|nv_\w+|inference_latency_ms|certmanager_\w+|up)\b", bare))


def test_rules_and_dashboards_ask_for_metrics_that_exist() -> None:
    rules = [
        rule
        for group in yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    known = _exported() | TRITON | OTHERS | {rule["record"] for rule in rules if "record" in rule}
    expressions = [rule["expr"] for rule in rules] + [
        query for _, panels in dashboards.DASHBOARDS.values() for panel in panels for query, _ in panel.queries
    ]
    asked = {name: e for e in expressions for name in _asked(e)}
    assert len(asked) > 15
    assert {name: e for name, e in asked.items() if name not in known} == {}


def test_every_alert_has_its_entry_in_the_runbook() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    anchors = {"#" + heading.lower() for heading in re.findall(r"^#+ (\w+)$", operations, re.MULTILINE)}
    groups = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alerts) >= 10
    for alert in alerts:
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (ROOT / file).is_file()
        assert anchor == alert["alert"].lower()
        assert f"#{anchor}" in anchors, f"docs/operations.md says nothing of {alert['alert']}"


def test_the_files_of_the_chart_are_there() -> None:
    script = CHART / "files" / "fetch_models.py"
    compile(script.read_text(encoding="utf-8"), script.name, "exec")
    assert Path(CHART / "files" / "prometheus-adapter.yaml").is_file()
