from __future__ import annotations

import socket

import pytest

from cardiomesh.local.errors import MeshError
from cardiomesh.local.parts import assign_ports
from cardiomesh.local.ports import LOOPBACK, ephemeral_range, free_ports, is_free


def test_ports_are_different_free_and_outside_the_ephemeral_range() -> None:
    ports = free_ports(50)
    low, high = ephemeral_range()
    assert len(set(ports)) == 50
    assert all(is_free(port) for port in ports)
    # where the range leaves too little, any port is better than none
    if low - 10_000 + 65_535 - high >= 1000:
        assert not any(low <= port <= high for port in ports)


def test_every_listener_gets_its_own_address() -> None:
    addresses = assign_ports(("triton", "redis", "gateway"), {})
    assert set(addresses) == {"triton", "triton_http", "triton_metrics", "redis", "gateway", "http"}
    assert len(set(addresses.values())) == 6
    assert all(where.startswith(f"{LOOPBACK}:") for where in addresses.values())


def test_a_fixed_port_is_kept_unless_it_is_taken_or_nobodys() -> None:
    (port,) = free_ports(1)
    assert assign_ports(("gateway",), {"gateway": port})["gateway"] == f"{LOOPBACK}:{port}"
    with pytest.raises(MeshError, match="no such listener: gatewy"):
        assign_ports(("gateway",), {"gatewy": port})
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        with pytest.raises(MeshError, match=f"port {port}, wanted for gateway, is in use"):
            assign_ports(("gateway",), {"gateway": port})
