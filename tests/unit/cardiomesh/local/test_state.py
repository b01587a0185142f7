from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cardiomesh.local.control import down, status
from cardiomesh.local.errors import AlreadyRunning
from cardiomesh.local.plan import Child, Plan
from cardiomesh.local.state import Identity, MeshRecord, MeshState, StateFile


def me() -> Identity:
    found = Identity.of(os.getpid())
    assert found is not None
    return found


def test_a_reused_process_id_is_another_process() -> None:
    assert me().alive()
    assert not Identity(pid=os.getpid(), started=me().started - 1).alive()


def test_a_dead_process_is_nobody_even_before_it_is_reaped() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()  # to its end: it has closed everything
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Identity.of(process.pid) is None
    assert Identity.of(process.pid) is None


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    assert file.read() is None
    record = MeshRecord(state=MeshState.READY, supervisor=me(), addresses={"gateway": "127.0.0.1:1"})
    file.write(record)
    assert file.read() == record
    file.path.write_text('{"state": "rea')
    assert file.read() is None
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_the_lock_is_one_persons_and_says_whose(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "mesh")
    assert not file.locked()
    with file.lock():
        file.write(MeshRecord(supervisor=me(), addresses={"gateway": "127.0.0.1:4242"}))
        assert file.locked()
        with pytest.raises(AlreadyRunning, match=r"gateway 127\.0\.0\.1:4242"), StateFile(tmp_path / "mesh").lock():
            pass
    assert not file.locked()


def test_a_state_without_a_lock_is_a_dead_meshs_whatever_it_says(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.write(MeshRecord(state=MeshState.READY, supervisor=me(), message="triton died"))
    seen = status(directory=tmp_path)
    assert (seen.state, seen.message) == (MeshState.STOPPED, "triton died")
    assert seen.to_json()["state"] == "stopped"
    assert not down(directory=tmp_path)


def child(name: str, *after: str) -> Child:
    return Child(name=name, command=("true",), after=after)


def test_waves_follow_the_dependencies() -> None:
    plan = Plan(children=(child("gateway", "triton", "explainer"), child("explainer", "triton"), child("triton")))
    assert [[c.name for c in wave] for wave in plan.waves()] == [["triton"], ["explainer"], ["gateway"]]
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    "children", [(child("a", "b"), child("b", "a")), (child("a", "nobody"),), (child("a"), child("a"))]
)
def test_a_plan_without_an_order_is_refused(children: tuple[Child, ...]) -> None:
    with pytest.raises(ValidationError):
        Plan(children=children)
