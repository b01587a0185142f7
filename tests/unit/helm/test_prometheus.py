"""A real Prometheus scrapes the real mesh: every expression of rules and dashboards is answered with data."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cardiomesh.client import Client
from cardiomesh.errors import CardioMeshError
from cardiomesh.local import Addresses
from cardiomesh.local.ports import free_ports
from helm.tools.binaries import find
from helm.tools.dashboards import DASHBOARDS
from helm.tools.values import CHART

#: Not on this machine, or not before something goes wrong: asked for, but data cannot be expected.
ELSEWHERE = re.compile(r"nv_gpu_|certmanager_|unavailable|rpc_grpc_status_code=\"8\"|absent\(")
#: Only failures and overload make these; nothing fails here.
FAILURES = (
    "CardioMeshHopFails",
    "CardioMeshAuditFails",
    "CardioMeshQualityDrifts",
    "cardiomesh: Failing hops 0",
    "cardiomesh: Left alone, and tried again 1",
    "cardiomesh: Refused before their work 0",
    "cardiomesh: Wait for a turn, p99 0",
)


def _expressions() -> dict[str, str]:
    """Name → expression; alerts without their thresholds, which a healthy mesh does not pass."""
    found = {}
    for group in yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            name = rule.get("record") or rule["alert"]
            first = rule["expr"].partition(" and ")[0]
            found[name] = re.sub(r"\s*(==|>|<)\s*[\d.* ]+\s*$", "", first) if "alert" in rule else rule["expr"]
    for uid, (_, panels) in DASHBOARDS.items():
        for panel in panels:
            for number, (query, _) in enumerate(panel.queries):
                text = query.replace("$__rate_interval", "1m").replace("$namespace", ".*")
                found[f"{uid}: {panel.title} {number}"] = text
    return {name: text for name, text in found.items() if not ELSEWHERE.search(text) and name not in FAILURES}


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, expression: str) -> list[object]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            result: list[object] = json.load(answer)["data"]["result"]
        return result


@pytest.fixture
def prometheus(addresses: Addresses, tmp_path: Path) -> Iterator[Prometheus]:
    program = find("prometheus")
    if program is None:
        pytest.skip("needs prometheus: Debian package prometheus, or CARDIOMESH_PROMETHEUS")
    targets = {
        "gateway": addresses.http,
        "preprocessor": addresses.preprocessor_http,
        "explainer": addresses.explainer_http,
        "triton": addresses.triton_metrics,
    }
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(CHART / "files" / "rules.yaml")],
        "scrape_configs": [
            {
                "job_name": "mesh",
                "static_configs": [
                    {"targets": [where], "labels": {"namespace": "x", "container": name, "pod": f"cardiomesh-{name}"}}
                    for name, where in targets.items()
                ],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_ports(1)[0]
    command = [
        str(program),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield Prometheus(f"http://127.0.0.1:{port}")
        process.terminate()


@pytest.mark.mesh
@pytest.mark.heavy
def test_every_expression_returns_data(prometheus: Prometheus, client: Client, ecg_file: Path) -> None:
    expressions = _expressions()
    assert len(expressions) > 25
    deadline = time.monotonic() + 120
    missing = dict(expressions)
    while missing and time.monotonic() < deadline:
        result = client.analyze(file=ecg_file, bypass_cache=True)
        client.analyze(file=ecg_file)
        client.explain(max(result.probabilities, key=lambda code: result.probabilities[code]), file=ecg_file)
        with pytest.raises(CardioMeshError):
            client.analyze(file=b"no ECG")
        try:
            missing = {name: text for name, text in missing.items() if not prometheus.ask(text)}
        except OSError:
            continue
    assert missing == {}
    assert len(prometheus.ask("up == 1")) == 4
    assert prometheus.ask("ALERTS{alertstate='firing'}") == []
