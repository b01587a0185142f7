"""``values.schema.json``: types from the defaults, limits from the table below, settings from the services themselves.

``python -m helm.tools.schema`` writes it, ``--check`` compares.
"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from typing import Any, Final

from cardiomesh.chassis.settings import ServiceSettings
from explainer.settings import ExplainerSettings
from gateway.settings import GatewaySettings
from helm.tools.values import CHART, documented, load
from preprocessor.settings import PreprocessorSettings

__all__ = ["SCHEMA", "WIRED", "build", "render"]

Schema = dict[str, Any]
SCHEMA: Final = CHART / "values.schema.json"
#: Settings that the chart itself sets from other values: giving them twice would be a contradiction.
WIRED: Final = frozenset(
    {
        *("grpc_address", "http_address", "drain_delay_s", "drain_grace_s", "otlp_endpoint"),
        *("tls_certificate", "tls_key", "tls_client_ca", "tls_ca"),
        *("triton_address", "preprocessor_address", "explainer_address", "model_repository", "redis_url"),
        *("identities", "store_url", "store_key", "store_migrate"),
    }
)
_SETTINGS: Final[dict[str, type[ServiceSettings]]] = {
    "gateway": GatewaySettings,
    "preprocessor": PreprocessorSettings,
    "explainer": ExplainerSettings,
}

_QUANTITY: Final[Schema] = {
    "type": ["string", "integer", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
}
_SIZE: Final[Schema] = {"type": "string", "pattern": r"^[1-9][0-9]*(Ki|Mi|Gi)$"}
_PORT: Final[Schema] = {"type": "integer", "minimum": 1024, "maximum": 65535}
_STRINGS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECTS: Final[Schema] = {"type": "array", "items": {"type": "object"}}
_DNS_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_NAME: Final[Schema] = {"type": "string", "anyOf": [{"maxLength": 0}, {"pattern": _DNS_NAME}]}
_SHA256: Final = "[0-9a-f]{64}"
_RESOURCES: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "requests": {"type": "object", "additionalProperties": _QUANTITY},
        # Memory alone: a CPU limit throttles (docs/decisions/ops-no-cpu-limit.md).
        "limits": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"memory": _QUANTITY, "ephemeral-storage": _QUANTITY},
        },
    },
}

#: Path pattern → what the default's type does not say. The first that matches counts.
_LIMITS: Final[tuple[tuple[str, Schema], ...]] = (
    ("*.resources", _RESOURCES),
    ("*Port", _PORT),
    ("*.replicas", {"type": "integer", "minimum": 1, "maximum": 1000}),
    ("*.maxSurge", {"type": ["integer", "string"], "minimum": 1, "pattern": "^[1-9][0-9]?%$|^100%$"}),
    ("*.runAsUser", {"type": "integer", "minimum": 1, "maximum": 2147483647}),
    ("*.image.digest", {"type": "string", "pattern": f"^(sha256:{_SHA256})?$"}),
    ("*.image.repository", {"type": "string", "minLength": 1}),
    ("models.sha256", {"type": "string", "pattern": f"^({_SHA256})?$"}),
    ("models.delivery", {"type": "string", "enum": ["image", "pvc", "archive"]}),
    ("models.image.mount", {"type": "string", "enum": ["copy", "volume"]}),
    ("models.archive.url", {"type": "string", "pattern": "^(https?://.+)?$"}),
    ("models.sizeLimit", _SIZE),
    ("*.tmpSizeLimit", _SIZE),
    ("*.sharedMemory", _SIZE),
    ("listenHost", {"type": "string", "enum": ["0.0.0.0", "[::]"]}),  # noqa: S104
    ("images.pullPolicy", {"type": "string", "enum": ["Always", "IfNotPresent", "Never"]}),
    ("images.pullSecrets", {"type": "array", "items": {"type": "string", "minLength": 1}}),
    ("tls.source", {"type": "string", "enum": ["secrets", "certManager"]}),
    ("tls.certManager.gatewayNames", {"type": "array", "items": {"type": "string", "minLength": 1}}),
    ("tls.certManager.issuerRef", {"type": "object", "required": ["name"], "additionalProperties": {"type": "string"}}),
    ("tls.certManager.*", {"type": "string", "pattern": "^[1-9][0-9]*h$"}),
    ("autoscaling.engine", {"type": "string", "enum": ["none", "hpa", "keda"]}),
    ("autoscaling.inferenceLatencyMs", {"type": "integer", "minimum": 0, "maximum": 60000}),
    ("autoscaling.prometheusAddress", {"type": "string", "pattern": "^(https?://.+)?$"}),
    ("telemetry.otlpEndpoint", {"type": "string", "pattern": "^(https?://.+)?$"}),
    ("*.autoscaling.min", {"type": "integer", "minimum": 1}),
    ("*.autoscaling.max", {"type": "integer", "minimum": 1}),
    ("*.autoscaling.*", {"type": "integer", "minimum": 0, "maximum": 100}),
    ("*.maxConnectionAgeSeconds", {"type": "integer", "minimum": 5, "maximum": 3600}),
    ("*.startupSeconds", {"type": "integer", "minimum": 10, "maximum": 7200}),
    ("*Seconds", {"type": "integer", "minimum": 0, "maximum": 3600}),
    ("triton.gpu.count", {"type": "integer", "minimum": 1, "maximum": 16}),
    ("triton.gpu.resource", {"type": "string", "pattern": "^[a-z0-9.-]+/[a-zA-Z0-9._-]+$"}),
    ("triton.extraArgs", {"type": "array", "items": {"type": "string", "pattern": "^--"}}),
    ("valkey.maxMemory", {"type": "string", "pattern": "^[1-9][0-9]*(kb|mb|gb)$"}),
    ("gateway.service.type", {"type": "string", "enum": ["ClusterIP", "NodePort", "LoadBalancer"]}),
    ("*nnotations", _STRINGS),
    ("*.nodeSelector", _STRINGS),
    ("monitoring.labels", _STRINGS),
    ("monitoring.interval", {"type": "string", "pattern": "^[1-9][0-9]*(s|m)$"}),
    ("*.tolerations", _OBJECTS),
    ("*.affinity", {"type": "object"}),
    ("*egress", _OBJECTS),
    ("networkPolicy.*From", _OBJECTS),
    ("networkPolicy.dnsTo", _OBJECTS | {"minItems": 1}),
    (
        "topologySpread",
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["topologyKey", "maxSkew", "whenUnsatisfiable"],
                "additionalProperties": False,
                "properties": {
                    "topologyKey": {"type": "string", "minLength": 1},
                    "maxSkew": {"type": "integer", "minimum": 1},
                    "whenUnsatisfiable": {"type": "string", "enum": ["DoNotSchedule", "ScheduleAnyway"]},
                },
            },
        },
    ),
    ("priorityClass.value", {"type": "integer", "minimum": 0, "maximum": 1000000000}),
    ("priorityClass.name", {"type": "string", "pattern": _DNS_NAME}),
    ("tls.secrets.*", _NAME),
    ("models.pvc.claimName", _NAME),
    ("redis.existingSecret.name", _NAME),
    ("store.existingSecret.name", _NAME),
    ("gateway.identities.existingSecret.name", _NAME),
    ("gateway.test.apiKey.existingSecret.name", _NAME),
)


def _settings(service: type[ServiceSettings]) -> Schema:
    """The settings that may be given, as pydantic describes them."""
    described = service.model_json_schema()
    properties: Schema = {}
    for name, described_field in described["properties"].items():
        # A secret has no place in values: it would be read by whoever may read the release.
        if name in WIRED or _is_secret(described_field):
            continue
        # Helm merges defaults away with null, so "not set" needs no place of its own here.
        options = [o for o in described_field.get("anyOf", [described_field]) if o.get("type") != "null"]
        limits = {key: value for key, value in options[0].items() if key not in ("title", "default", "format")}
        limits = _inlined(limits, described.get("$defs", {}))
        properties[name] = limits | {"description": described_field.get("description", "")}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _inlined(schema: Any, definitions: Schema) -> Any:
    """References point from the root of a document; this part is not its root."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _is_secret(described_field: Schema) -> bool:
    options = described_field.get("anyOf", [described_field])
    return any(option.get("format") == "password" or option.get("writeOnly") for option in options)


def _leaf(path: tuple[str, ...], default: Any) -> Schema | None:
    dotted = ".".join(path)
    if path[-1] == "settings":
        return _settings(_SETTINGS[path[0]])
    for pattern, limits in _LIMITS:
        if fnmatchcase(dotted, pattern):
            return dict(limits)
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, str):
        return {"type": "string"}
    return None


def _node(path: tuple[str, ...], default: Any, sentences: dict[tuple[str, ...], str]) -> Schema:
    leaf = _leaf(path, default) if path else None
    if leaf is None:
        if not isinstance(default, dict) or not default:
            raise LookupError(f"{'.'.join(path)}: say in _LIMITS what it may be")
        leaf = {
            "type": "object",
            "additionalProperties": False,
            # A null deletes a default; templates then would not find it.
            "required": list(default),
            "properties": {key: _node((*path, key), value, sentences) for key, value in default.items()},
        }
    return leaf | ({"description": sentences[path]} if path in sentences else {})


def build() -> Schema:
    """The schema of the chart's values."""
    sentences = {value.path: value.sentence for value in documented()}
    root = _node((), load(), sentences)
    # What Helm itself puts beside the values.
    root["properties"]["global"] = {"type": "object"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the CardioMesh chart",
        "description": "Generated by python -m helm.tools.schema.",
        **root,
    }


def render() -> str:
    """The file's text."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write, or with ``--check`` compare."""
    if sys.argv[1:] == ["--check"]:
        if SCHEMA.read_text(encoding="utf-8") != render():
            sys.exit("helm/cardiomesh/values.schema.json is not what the values and settings say: make helm-docs")
        return
    SCHEMA.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
