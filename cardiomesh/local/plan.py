"""What a mesh consists of, as data: the supervisor runs a plan and knows nothing of ECGs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Child", "Plan", "Probe", "Restart", "Role"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Role(StrEnum):
    """What the death of a child means."""

    BACKING = "backing"  # a part the services outlive: Triton, Valkey
    SERVICE = "service"
    CHECK = "check"  # runs once and must exit 0


class Restart(StrEnum):
    """Which children are started again when they die in a mesh that was up."""

    NONE = "none"
    BACKING = "backing"
    ALL = "all"


class Probe(_Part):
    """How to ask a child whether it is ready."""

    kind: Literal["grpc-health", "triton", "redis"]
    address: str


class Child(_Part):
    """One process of the mesh."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    command: tuple[str, ...] = Field(min_length=1)
    environment: dict[str, str] = Field(default_factory=dict, description="On top of the supervisor's own.")
    directory: Path | None = Field(default=None, description="Working directory; the supervisor's when absent.")
    role: Role = Role.SERVICE
    after: tuple[str, ...] = Field(default=(), description="Started when these are ready, stopped before them.")
    probe: Probe | None = Field(default=None, description="Ready as soon as it runs, when absent.")
    ready_within: float = Field(default=60.0, gt=0, description="Seconds.")
    stop_within: float = Field(default=10.0, gt=0, description="Seconds from SIGTERM to SIGKILL.")
    shared_memory: str | None = Field(
        default=None, min_length=8, description="Prefix of its regions in /dev/shm, removed when it is gone."
    )


class Plan(_Part):
    """A mesh: its children, where they listen, and what to do when one dies."""

    children: tuple[Child, ...] = Field(min_length=1)
    addresses: dict[str, str] = Field(default_factory=dict)
    restart: Restart = Restart.BACKING

    @model_validator(mode="after")
    def _order_exists(self) -> Plan:
        self.waves()
        return self

    def waves(self) -> list[list[Child]]:
        """Children in the order of their dependencies: each wave needs only the waves before it."""
        waiting = {child.name: child for child in self.children}
        if len(waiting) != len(self.children):
            raise ValueError("two children have the same name")
        waves: list[list[Child]] = []
        placed: set[str] = set()
        while waiting:
            wave = [child for child in waiting.values() if placed.issuperset(child.after)]
            if not wave:
                raise ValueError(f"no order of start: {', '.join(sorted(waiting))} wait for each other or for nobody")
            waves.append(wave)
            placed.update(child.name for child in wave)
            waiting = {name: child for name, child in waiting.items() if name not in placed}
        return waves
