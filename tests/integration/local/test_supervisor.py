"""Supervision on small real processes: order, deaths, restarts, signals, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cardiomesh.local.control import down, status
from cardiomesh.local.errors import AlreadyRunning
from cardiomesh.local.plan import Child, Plan, Probe, Restart, Role
from cardiomesh.local.ports import address, free_ports
from cardiomesh.local.state import Identity, MeshRecord, StateFile

#: Answers PING like Valkey on the port it is given, notes its life in a file, and starts a child of its own.
FAKE = """
import os, signal, socket, subprocess, sys
port, notes, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def note(what):
    with open(notes, "a") as f: f.write(f"{what} {name}\\n")
grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("grandchild", grandchild.pid, flush=True)
def stop(*_):
    note("stopped"); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
server = socket.create_server(("127.0.0.1", port))
note("started")
while True:
    connection, _ = server.accept()
    with connection:
        if connection.recv(64).startswith(b"PING"): connection.sendall(b"+PONG\\r\\n")
"""


class Bench:
    """A directory with a plan of fakes and the supervisor that runs it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "mesh"
        self.notes = directory / "notes"
        self.file = StateFile(self.directory)
        self._supervisors: list[subprocess.Popen[bytes]] = []

    def fake(self, name: str, role: Role = Role.SERVICE, after: tuple[str, ...] = ()) -> Child:
        port = free_ports(1)[0]
        command = (sys.executable, "-c", FAKE, str(port), str(self.notes), name)
        return Child(
            name=name, command=command, role=role, after=after, probe=Probe(kind="redis", address=address(port))
        )

    def supervise(self, *children: Child, restart: Restart = Restart.BACKING) -> subprocess.Popen[bytes]:
        plan = Plan(
            children=children, restart=restart, addresses={c.name: c.probe.address for c in children if c.probe}
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "cardiomesh.local.supervise", "--directory", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write(plan.model_dump_json().encode())
        self._supervisors.append(process)
        return process

    def record(self, state: str) -> MeshRecord:
        """The state file, once the mesh is in this state."""
        return self.until(lambda r: r if r.state == state else None)

    def until(self, look: Callable[[MeshRecord], Any]) -> Any:
        while True:  # the test's own timeout ends this
            record = self.file.read()
            found = None if record is None else look(record)
            if found is not None:
                return found
            time.sleep(0.02)

    def failure(self, supervisor: subprocess.Popen[bytes]) -> str:
        """What the supervisor said when it ended with status 1."""
        assert supervisor.stderr is not None
        said = supervisor.stderr.read().decode()
        assert supervisor.wait() == 1, said
        return said

    def grandchild(self, name: str) -> Identity:
        """The last process that this fake started."""
        log = (self.directory / "logs" / f"{name}.log").read_text()
        pid = int(log.rpartition("grandchild ")[2].split()[0])
        identity = Identity.of(pid)
        assert identity is not None
        return identity

    def close(self) -> None:
        for supervisor in self._supervisors:
            if supervisor.poll() is None:
                supervisor.kill()
            supervisor.wait()
            if supervisor.stderr:
                supervisor.stderr.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def identity(record: MeshRecord, name: str) -> Identity:
    found = record.processes[name].identity
    assert found is not None
    return found


def wait_gone(*identities: Identity) -> None:
    while any(one.alive() for one in identities):
        time.sleep(0.02)


def test_children_start_after_what_they_need_and_stop_before_it(bench: Bench) -> None:
    supervisor = bench.supervise(
        bench.fake("front", after=("middle", "store")),
        bench.fake("middle", after=("store",)),
        bench.fake("store", Role.BACKING),
    )
    record = bench.record("ready")
    children = [identity(record, name) for name in ("front", "middle", "store")]
    grandchildren = [bench.grandchild(name) for name in ("front", "middle", "store")]
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait() == 0
    assert bench.notes.read_text().splitlines() == [
        "started store",
        "started middle",
        "started front",
        "stopped front",
        "stopped middle",
        "stopped store",
    ]
    wait_gone(*children, *grandchildren)
    assert status(directory=bench.directory).state == "stopped"


def test_a_death_while_starting_stops_everything_and_says_which_and_why(bench: Bench) -> None:
    broken = Child(
        name="broken",
        command=(sys.executable, "-c", "print('no such table'); raise SystemExit(7)"),
        probe=Probe(kind="redis", address=address(free_ports(1)[0])),
        after=("store",),
    )
    supervisor = bench.supervise(bench.fake("store", Role.BACKING), broken, bench.fake("front", after=("broken",)))
    said = bench.failure(supervisor)
    assert "broken exited with status 7" in said
    assert "no such table" in said
    record = bench.file.read()
    assert record is not None
    assert (record.state, record.processes["front"].state) == ("failed", "waiting")
    assert bench.notes.read_text().splitlines() == ["started store", "stopped store"]


def test_a_command_that_does_not_exist_is_named(bench: Bench) -> None:
    said = bench.failure(
        bench.supervise(
            Child(
                name="ghost",
                command=("/nonexistent/ghost",),
                probe=Probe(kind="redis", address=address(free_ports(1)[0])),
            )
        )
    )
    assert "ghost exited with status" in said
    assert "/nonexistent/ghost" in said


def test_one_that_never_becomes_ready_is_named(bench: Bench) -> None:
    mute = Child(
        name="mute",
        command=(sys.executable, "-c", "import signal; print('thinking', flush=True); signal.pause()"),
        probe=Probe(kind="redis", address=address(free_ports(1)[0])),
        ready_within=1.0,
    )
    said = bench.failure(bench.supervise(mute))
    assert "mute was not ready after 1 s" in said
    assert "thinking" in said


def test_a_killed_backing_part_comes_back_on_its_port(bench: Bench) -> None:
    supervisor = bench.supervise(bench.fake("store", Role.BACKING), bench.fake("front", after=("store",)))
    before = bench.record("ready")
    grandchild = bench.grandchild("store")
    os.kill(identity(before, "store").pid, signal.SIGKILL)
    after = bench.until(lambda r: r if r.state == "ready" and r.processes["store"].restarts == 1 else None)
    wait_gone(grandchild)
    assert identity(after, "store") != identity(before, "store")
    assert identity(after, "front") == identity(before, "front")
    assert after.addresses == before.addresses
    assert "store was killed by SIGKILL" in after.message
    seen = status(directory=bench.directory)
    assert (seen.processes["store"].state, seen.processes["store"].restarts) == ("ready", 1)
    supervisor.terminate()
    assert supervisor.wait() == 0


def test_a_killed_service_stops_the_mesh(bench: Bench) -> None:
    supervisor = bench.supervise(bench.fake("store", Role.BACKING), bench.fake("front", after=("store",)))
    record = bench.record("ready")
    os.kill(identity(record, "front").pid, signal.SIGKILL)
    assert "front was killed by SIGKILL" in bench.failure(supervisor)
    wait_gone(identity(record, "store"))
    assert bench.notes.read_text().splitlines()[-1] == "stopped store"


@pytest.mark.parametrize(("restart", "role"), [(Restart.NONE, Role.BACKING), (Restart.ALL, Role.SERVICE)])
def test_the_restart_policy_decides(bench: Bench, restart: Restart, role: Role) -> None:
    supervisor = bench.supervise(bench.fake("part", role), restart=restart)
    os.kill(identity(bench.record("ready"), "part").pid, signal.SIGKILL)
    if restart is Restart.NONE:
        assert "part was killed by SIGKILL" in bench.failure(supervisor)
    else:
        bench.until(lambda r: r if r.state == "ready" and r.processes["part"].restarts == 1 else None)


def test_a_crash_loop_stops_the_mesh(bench: Bench) -> None:
    supervisor = bench.supervise(bench.fake("store", Role.BACKING))
    for restarts in range(4):
        record = bench.until(
            lambda r, n=restarts: r if r.state == "ready" and r.processes["store"].restarts == n else None
        )
        os.kill(identity(record, "store").pid, signal.SIGKILL)
    assert "store died 4 times within 60 s" in bench.failure(supervisor)


def test_a_failed_check_stops_the_mesh(bench: Bench) -> None:
    check = Child(
        name="check",
        command=(sys.executable, "-c", "print('differs'); raise SystemExit(1)"),
        role=Role.CHECK,
        after=("store",),
    )
    said = bench.failure(bench.supervise(bench.fake("store", Role.BACKING), check))
    assert "check exited with status 1" in said
    assert "differs" in said


def test_a_passed_check_is_done(bench: Bench) -> None:
    check = Child(name="check", command=(sys.executable, "-c", ""), role=Role.CHECK, after=("store",))
    bench.supervise(bench.fake("store", Role.BACKING), check)
    assert bench.record("ready").processes["check"].state == "done"
    assert status(directory=bench.directory).state == "ready"


def test_kill_9_of_the_supervisor_takes_every_child_down(bench: Bench) -> None:
    supervisor = bench.supervise(bench.fake("store", Role.BACKING), bench.fake("front", after=("store",)))
    record = bench.record("ready")
    grandchild = bench.grandchild("front")
    supervisor.kill()
    supervisor.wait()
    wait_gone(identity(record, "store"), identity(record, "front"))
    # what a child started itself outlives it only until the next mesh starts in this directory, if it does at all
    assert status(directory=bench.directory).state == "stopped"
    bench.supervise(bench.fake("store", Role.BACKING))
    again = bench.until(lambda r: r if r.state == "ready" and r.supervisor != record.supervisor else None)
    assert identity(again, "store").alive()
    wait_gone(grandchild)


def test_a_second_supervisor_says_where_the_first_listens(bench: Bench) -> None:
    store = bench.fake("store", Role.BACKING)
    bench.supervise(store)
    first = bench.record("ready")
    second = bench.supervise(bench.fake("store", Role.BACKING))
    assert second.stderr is not None
    assert first.addresses["store"] in second.stderr.read().decode()
    assert second.wait() == 3
    assert first.supervisor.alive()
    with pytest.raises(AlreadyRunning, match=first.addresses["store"]), bench.file.lock():
        pass


def test_down_waits_until_all_is_gone_and_may_be_repeated(bench: Bench) -> None:
    supervisor = bench.supervise(bench.fake("store", Role.BACKING), bench.fake("front", after=("store",)))
    record = bench.record("ready")
    assert down(directory=bench.directory)
    assert not any(identity(record, name).alive() for name in ("store", "front"))
    assert supervisor.wait() == 0
    assert not down(directory=bench.directory)


def test_one_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    deaf = bench.fake("deaf", Role.BACKING).model_copy(
        update={
            "command": (sys.executable, "-c", "import signal\nsignal.signal(15, signal.SIG_IGN)\nsignal.pause()"),
            "probe": None,
            "stop_within": 0.5,
        }
    )
    supervisor = bench.supervise(deaf)
    child = identity(bench.record("ready"), "deaf")
    supervisor.terminate()
    assert supervisor.wait() == 0
    assert not child.alive()


def test_status_of_a_hung_part_is_unready_and_the_mesh_degraded(bench: Bench) -> None:
    bench.supervise(bench.fake("redis", Role.BACKING))
    child = identity(bench.record("ready"), "redis")
    os.kill(child.pid, signal.SIGSTOP)
    seen = status(directory=bench.directory)
    os.kill(child.pid, signal.SIGCONT)
    assert (seen.state, seen.processes["redis"].state) == ("degraded", "unready")
    text = json.loads(json.dumps(seen.to_json()))
    assert text["state"] == "degraded"
    assert text["redis"].startswith("127.0.0.1:")
    assert text["processes"]["redis"]["pid"] == child.pid


def test_a_mesh_whose_directory_is_deleted_stops(bench: Bench) -> None:
    supervisor = bench.supervise(bench.fake("store", Role.BACKING))
    store = identity(bench.record("ready"), "store")
    shutil.rmtree(bench.directory)
    assert "was removed while its mesh was running" in bench.failure(supervisor)
    wait_gone(store)
