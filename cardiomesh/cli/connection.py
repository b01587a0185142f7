"""Which gateway a command asks, and as whom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, TypedDict

import typer

from cardiomesh.client import API_KEY_VARIABLE, DEFAULT_TIMEOUT_S, Client, Credential, ModelAdmin, TlsFiles
from cardiomesh.local import development_key, mesh_directory, status

__all__ = ["GatewayOption", "JsonOption", "connect", "connect_as_operator"]

_DEFAULT_GATEWAY: Final = "127.0.0.1:50051"

GatewayOption = Annotated[
    str,
    typer.Option(
        envvar="CARDIOMESH_GATEWAY",
        help="host:port of the gateway; default: the embedded mesh if one runs here.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


class _Arguments(TypedDict):
    address: str
    credential: Credential | None
    tls: TlsFiles | None
    timeout: float


def _tls() -> TlsFiles | None:
    """TLS from CARDIOMESH_TLS_CA, and _CERTIFICATE with _KEY where the gateway asks its callers for one."""
    ca, certificate, key = (os.environ.get(f"CARDIOMESH_TLS_{name}") for name in ("CA", "CERTIFICATE", "KEY"))
    if not ca:
        return None
    return TlsFiles(Path(ca), Path(certificate) if certificate else None, Path(key) if key else None)


def _arguments(given: str, timeout: float) -> _Arguments:
    """The gateway that was named, or the embedded mesh with its development key."""
    if given:
        return {"address": given, "credential": None, "tls": _tls(), "timeout": timeout}
    here = status().addresses.get("gateway", "")
    # An empty key leaves the choice to the environment, as for any other gateway.
    key = os.environ.get(API_KEY_VARIABLE) or (development_key(mesh_directory()) if here else "")
    return {"address": here or _DEFAULT_GATEWAY, "credential": key or None, "tls": None, "timeout": timeout}


def connect(given: str, timeout: float = DEFAULT_TIMEOUT_S) -> Client:
    """A client of the gateway that was named, or of the embedded mesh."""
    return Client(**_arguments(given, timeout))


def connect_as_operator(given: str) -> ModelAdmin:
    """The same, to move traffic between models; the development key may not, another key of the mesh may."""
    return ModelAdmin(**_arguments(given, DEFAULT_TIMEOUT_S))
