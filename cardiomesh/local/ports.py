"""Loopback ports that stay ours.

They are taken from below the kernel's ephemeral range: a port inside it can be handed to somebody's outgoing
connection in the second in which a killed Triton is started again on the same port.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from cardiomesh.local.errors import MeshError

__all__ = ["LOOPBACK", "address", "ephemeral_range", "free_ports", "is_free"]

LOOPBACK: Final = "127.0.0.1"
_LOWEST: Final = 10_000
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def ephemeral_range() -> tuple[int, int]:
    """First and last port that the kernel hands to outgoing connections."""
    try:
        low, high = _EPHEMERAL.read_text().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32_768, 60_999  # Linux's default


def free_ports(count: int) -> list[int]:
    """``count`` different TCP ports that nobody listens on at 127.0.0.1 now."""
    low, high = ephemeral_range()
    outside = [*range(_LOWEST, low), *range(high + 1, 65_536)]
    candidates = outside if len(outside) >= 1000 else list(range(_LOWEST, 65_536))
    found: list[int] = []
    with ExitStack() as held:  # all are held until the last is found, so no port is found twice
        for port in random.sample(candidates, len(candidates)):
            listener = held.enter_context(socket.socket())
            if not _bound(listener, port):
                listener.close()
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise MeshError(f"fewer than {count} free TCP ports on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether somebody could listen on this port now; one that was just closed counts as free."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bound(listener, port)


def _bound(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        return False
    return True


def address(port: int) -> str:
    """``127.0.0.1:PORT``."""
    return f"{LOOPBACK}:{port}"
