"""What the chart renders: the wiring, the order of a shutdown, who may talk to whom; and values that are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from cardiomesh.chassis.health import LIVENESS, READINESS
from cardiomesh.chassis.settings import PREFIX
from explainer.settings import ExplainerSettings
from gateway.settings import GatewaySettings
from helm.tools.policies import broken
from helm.tools.render import PERMUTATIONS, PROFILES, HelmError, Object, template
from preprocessor.settings import PreprocessorSettings

Render = Callable[..., list[Object]]
SETTINGS = {"gateway": GatewaySettings, "preprocessor": PreprocessorSettings, "explainer": ExplainerSettings}


def _one(objects: list[Object], kind: str, name: str) -> Object:
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"] == f"cardiomesh-{name}")


def _container(objects: list[Object], name: str) -> Object:
    container: Object = _one(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_keep_every_policy(render: Render, profile: str) -> None:
    assert broken(render(profile=profile)) == []


@pytest.mark.parametrize("name", PERMUTATIONS)
def test_permutations_keep_every_policy(render: Render, name: str) -> None:
    assert broken(render(*PERMUTATIONS[name])) == []


@pytest.mark.parametrize("service", SETTINGS)
@pytest.mark.parametrize("values", ["defaults", "otlp", "settings"])
def test_services_understand_their_environment(
    render: Render, monkeypatch: pytest.MonkeyPatch, service: str, values: str
) -> None:
    container = _container(render(*PERMUTATIONS[values]), service)
    given = {v["name"]: v["value"] for v in container["env"]}
    fields = SETTINGS[service].model_fields
    assert {name.removeprefix(PREFIX).lower() for name in given} <= fields.keys()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert SETTINGS[service]().grpc_address == given["CARDIOMESH_GRPC_ADDRESS"]


def test_probes_ask_for_the_names_that_health_has(render: Render) -> None:
    container = _container(render(), "gateway")
    assert container["startupProbe"]["grpc"]["service"] == LIVENESS
    assert container["livenessProbe"]["grpc"]["service"] == LIVENESS
    assert container["readinessProbe"]["grpc"]["service"] == READINESS


def test_with_tls_probes_go_over_http_because_the_kubelet_has_no_grpc_tls(render: Render) -> None:
    container = _container(render(*PERMUTATIONS["tls-given"]), "preprocessor")
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_every_hop_shows_and_checks_certificates(render: Render) -> None:
    objects = render(*PERMUTATIONS["tls-given"])
    for service in SETTINGS:
        env = {v["name"]: v.get("value") for v in _container(objects, service)["env"]}
        assert env["CARDIOMESH_TLS_CA"] == env["CARDIOMESH_TLS_CLIENT_CA"] == "/tls/ca.crt"
    assert {"--grpc-use-ssl=true", "--grpc-use-ssl-mutual=true"} <= set(_container(objects, "triton")["args"])


def test_certificates_name_the_addresses_that_are_dialled(render: Render) -> None:
    objects = render(profile="cpu")
    names = {name for o in objects if o["kind"] == "Certificate" for name in o["spec"]["dnsNames"]}
    env = {v["name"]: v.get("value", "") for v in _container(objects, "gateway")["env"]}
    for part in ("TRITON", "PREPROCESSOR", "EXPLAINER"):
        host = env[f"CARDIOMESH_{part}_ADDRESS"].removeprefix("dns:///").rpartition(":")[0]
        assert host in names


def test_a_pod_outlives_its_drain(render: Render) -> None:
    objects = render("--set", "gateway.drainGraceSeconds=300,gateway.preStopSeconds=20")
    assert _one(objects, "Deployment", "gateway")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 325


def test_autoscaling_leaves_the_number_of_pods_alone_and_looks_at_three_metrics(render: Render) -> None:
    objects = render(profile="cpu")
    assert "replicas" not in _one(objects, "Deployment", "triton")["spec"]
    metrics = _one(objects, "HorizontalPodAutoscaler", "triton")["spec"]["metrics"]
    assert [m["type"] for m in metrics] == ["Resource", "Resource", "Pods"]
    assert metrics[2]["pods"] == {
        "metric": {"name": "inference_latency_ms"},
        "target": {"type": "AverageValue", "averageValue": "100"},
    }


def test_the_redis_url_comes_from_the_secret_only(render: Render) -> None:
    env = {v["name"]: v for v in _container(render(profile="cpu"), "gateway")["env"]}
    assert env["CARDIOMESH_REDIS_URL"]["valueFrom"]["secretKeyRef"] == {"name": "cardiomesh-redis", "key": "url"}
    assert "value" not in env["CARDIOMESH_REDIS_URL"]


def test_a_new_model_digest_rolls_the_pods_that_read_models_and_no_others(render: Render) -> None:
    objects = render()
    for name, reads in (("triton", True), ("gateway", True), ("explainer", True), ("preprocessor", False)):
        annotations = _one(objects, "Deployment", name)["spec"]["template"]["metadata"].get("annotations", {})
        assert ("cardiomesh.io/models-sha256" in annotations) is reads


def test_cache_and_certificate_alerts_come_only_where_they_mean_something(render: Render) -> None:
    def groups(*arguments: str) -> set[str]:
        rule = next(o for o in render(*arguments) if o["kind"] == "PrometheusRule")
        return {group["name"] for group in rule["spec"]["groups"]}

    on = ("--set", "monitoring.prometheusRule=true")
    assert not groups(*on) & {"cardiomesh-cache", "cardiomesh-certificates"}
    assert "cardiomesh-cache" in groups(*on, "--set", "valkey.enabled=true")
    assert "cardiomesh-certificates" in groups(*on, "--set", "tls.enabled=true,tls.source=certManager")


def test_selectors_volumes_and_names_do_not_depend_on_the_version(render: Render) -> None:
    """An upgrade changes no immutable field: selectors, Service IPs, claims. Releases compare with the golden files."""
    before, after = render(), render("--set", "gateway.image.tag=9.9.9,models.subPath=x,triton.gpu.enabled=true")
    for old in before:
        if old["kind"] in ("Deployment", "Service"):
            new = next(o for o in after if (o["kind"], o["metadata"]["name"]) == (old["kind"], old["metadata"]["name"]))
            assert new["spec"]["selector"] == old["spec"]["selector"]
            assert new["spec"].get("clusterIP") == old["spec"].get("clusterIP")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("gateway.replica=3", "additional properties 'replica' not allowed"),
        ("gateway.replicas=0", "at '/gateway/replicas': minimum: got 0, want 1"),
        ("gateway.resources.limits.cpu=2", "at '/gateway/resources/limits': additional properties 'cpu' not allowed"),
        ("gateway.settings.max_concurent_calls=9", "additional properties 'max_concurent_calls' not allowed"),
        ("gateway.settings.max_concurrent_calls=0", "minimum: got 0, want 1"),
        ("gateway.settings.redis_url=redis://u:p@h", "additional properties 'redis_url' not allowed"),
        ("triton.grpcPort=80", "at '/triton/grpcPort': minimum"),
        ("models.delivery=ftp", "value must be one of 'image', 'pvc', 'archive'"),
        ("models.sha256=abc", "at '/models/sha256'"),
        ("triton.gpu.resource=gpu", "at '/triton/gpu/resource'"),
        ("gateway.runAsUser=0", "at '/gateway/runAsUser': minimum: got 0, want 1"),
        ("networkPolicy.dnsTo=null", "at '/networkPolicy': missing property 'dnsTo'"),
        ("valkey.enabled=true,redis.existingSecret.name=r", "exclude each other"),
        ("triton.preStopSeconds=10", "clients must have left before Triton unloads"),
        ("models.delivery=pvc", "models.pvc.claimName: name the claim"),
        ("tls.enabled=true", ": name the secret with tls.crt, tls.key and ca.crt"),
    ],
)
def test_wrong_values_are_refused_in_words(render: Render, values: str, said: str) -> None:
    render()
    with pytest.raises(HelmError) as refused:
        # --set-string goes after every --set: the digest that renders are given would win.
        template("--set-string" if "sha256" in values else "--set", values)
    assert said in str(refused.value)


def _spoil(pod: Object, what: str) -> None:
    container = pod["containers"][0]
    if what == "root":
        pod["securityContext"]["runAsNonRoot"] = False
    elif what == "writable":
        container["securityContext"]["readOnlyRootFilesystem"] = False
    elif what == "capabilities":
        del container["securityContext"]["capabilities"]
    elif what == "cpu limit":
        container["resources"]["limits"]["cpu"] = "1"
    elif what == "token":
        pod["automountServiceAccountToken"] = True
    elif what == "killed early":
        pod["terminationGracePeriodSeconds"] = 10
    elif what == "password":
        container["env"].append({"name": "X", "value": "redis://u:hunter2@h"})
    elif what == "same probe":
        container["livenessProbe"] = container["readinessProbe"]
    elif what == "latest":
        container["image"] = "cardiomesh/gateway:latest"
    elif what == "virtual address":
        for v in container["env"]:
            v["value"] = str(v.get("value", "")).replace("triton-headless", "triton")


@pytest.mark.parametrize(
    "what",
    [
        *("root", "writable", "capabilities", "cpu limit", "token", "killed early"),
        *("password", "same probe", "latest", "virtual address"),
    ],
)
def test_policies_notice(render: Render, what: str) -> None:
    objects = copy.deepcopy(render())
    _spoil(_one(objects, "Deployment", "gateway")["spec"]["template"]["spec"], what)
    assert len(broken(objects)) >= 1


def test_policies_notice_an_open_network(render: Render) -> None:
    objects = render()
    triton = _one(objects, "NetworkPolicy", "triton")
    triton["spec"]["ingress"][0]["from"].append({"podSelector": {}})
    assert any("may call" in problem for problem in broken(objects))
    without = [o for o in render() if o["metadata"]["name"] != "cardiomesh-deny"]
    assert any("not denied" in problem for problem in broken(without))
