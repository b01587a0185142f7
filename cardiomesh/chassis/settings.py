"""Typed settings from the environment. Every service shares these; each adds its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cardiomesh.rpc.channel import MAX_MESSAGE_BYTES, TlsFiles

__all__ = ["PREFIX", "ServiceSettings", "load_settings"]

PREFIX = "CARDIOMESH_"


class ServiceSettings(BaseSettings):
    """Settings that every service understands."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    grpc_address: str = Field("127.0.0.1:50051", description="host:port where gRPC is served; port 0 picks one.")
    http_address: str = Field("127.0.0.1:8080", description="host:port of /healthz, /readyz and /metrics.")
    max_message_bytes: int = Field(MAX_MESSAGE_BYTES, ge=1024, description="Largest request accepted, in bytes.")
    max_concurrent_calls: int = Field(256, ge=1, description="Calls in flight before new ones are refused.")
    default_deadline_s: float = Field(30.0, gt=0, description="Deadline of a call that brings none, in seconds.")
    drain_delay_s: float = Field(
        0.0, ge=0, description="After SIGTERM, seconds to go on serving while load balancers see 'not ready'."
    )
    drain_grace_s: float = Field(20.0, ge=0, description="After that, seconds that calls in flight get to finish.")
    max_connection_age_s: float = Field(
        0.0, ge=0, description="Seconds after which a caller is asked to connect anew, and finds new pods; 0: never."
    )
    ready_interval_s: float = Field(1.0, gt=0, description="Seconds between two looks at readiness.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged.")
    otlp_endpoint: str | None = Field(
        None, description="Base URL of an OTLP/HTTP collector for traces and metrics; none: not exported."
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="Share of new traces kept; a caller's choice is kept.")
    tls_certificate: Path | None = Field(None, description="PEM certificate chain to serve TLS with.")
    tls_key: Path | None = Field(None, description="PEM key of that certificate.")
    tls_client_ca: Path | None = Field(None, description="PEM authorities; when set, callers must show a certificate.")
    tls_ca: Path | None = Field(None, description="PEM authorities to check other parts of the mesh with.")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ServiceSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        return self

    def dial_tls(self) -> TlsFiles | None:
        """How to reach other parts of the mesh: plain, or TLS with this service's own certificate."""
        if self.tls_ca is None:
            return None
        return TlsFiles(self.tls_ca, self.tls_certificate, self.tls_key)


S = TypeVar("S", bound=ServiceSettings)


def describe(settings: type[BaseSettings]) -> str:
    """The help text: each variable, its default, and what it means."""
    lines = []
    for name, field in settings.model_fields.items():
        default: Any = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else f"default {default!s}" if default is not None else "not set"
        lines.append(f"  {PREFIX}{name.upper()}  ({shown})\n      {field.description}")
    return "\n".join(lines)


def load_settings(cls: type[S], service: str, argv: Sequence[str] | None = None) -> S:
    """Settings of one service; prints help on ``--help``, and one line per wrong variable before exit 2."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments in (["--help"], ["-h"]):
        print(f"python -m {service}\n\nSettings come from the environment:\n{describe(cls)}")
        raise SystemExit(0)
    if arguments:
        print(f"python -m {service} takes no arguments but --help; settings come from the environment", file=sys.stderr)
        raise SystemExit(2)
    try:
        return cls()
    except ValidationError as error:
        for problem in error.errors():
            name = PREFIX + "_".join(str(part) for part in problem["loc"]).upper() if problem["loc"] else service
            print(f"{name}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
