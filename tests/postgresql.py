"""A real PostgreSQL server on a Unix socket, with no host's port taken; it can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["PostgreSQL", "initdb"]

_NOBODY: Final = 65534


def initdb() -> Path | None:
    """The server's ``initdb``, where it is installed together with ``pg_ctl``."""
    binaries = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    found = next((Path(path).resolve() for path in binaries if path), None)
    return found if found is not None and found.with_name("pg_ctl").exists() else None


class PostgreSQL:
    """One cluster in a temporary folder."""

    def __init__(self, binary: Path) -> None:
        """Make the cluster with this ``initdb``, and start it."""
        # Not in pytest's folders: those are closed to other users, and a socket's path must be short.
        self.place = Path(tempfile.mkdtemp(prefix="cardiomesh-pg-"))
        self._data = self.place / "data"
        self._data.mkdir()
        if os.geteuid() == 0:
            for folder in (self.place, self._data):
                os.chown(folder, _NOBODY, _NOBODY)
        self._control = binary.with_name("pg_ctl")
        make = [str(binary), "--pgdata", str(self._data), "--username", "test", "--auth", "trust", "--no-sync"]
        subprocess.run(_as_nobody(make), check=True, capture_output=True)
        self.start()

    @property
    def log(self) -> Path:
        """What it says."""
        return self.place / "log"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.place / ".s.PGSQL.5432"

    @property
    def url(self) -> str:
        """For clients on this machine."""
        return f"postgresql://test@/postgres?host={self.place}"

    def start(self) -> None:
        """Return when it takes connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.place} -c fsync=off"
        self._pg_ctl("--options", options, "--log", str(self.log), "start")

    def kill(self) -> None:
        """SIGKILL the server and every process of it; returns when none is left."""
        postmaster = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        pids = [postmaster, *map(int, children)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(map(_runs, pids)):
            time.sleep(0.01)
        # In a container nobody may bury the dead, and PostgreSQL takes its own dead body for a running server.
        for lock in (self._data / "postmaster.pid", self.place / f"{self.socket.name}.lock"):
            lock.unlink()

    @contextmanager
    def locked(self, database: str, table: str) -> Iterator[None]:
        """Another session holds every row of a table for the length of the block."""
        psql = ["psql", "--quiet", "--no-psqlrc", "--host", str(self.place), "--username", "test", database]
        with subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
            assert session.stdin is not None
            assert session.stdout is not None
            session.stdin.write(f"BEGIN;\nSELECT FROM {table} FOR UPDATE;\n\\echo held\n")
            session.stdin.flush()
            while session.stdout.readline().strip() != "held":
                pass
            yield
            session.stdin.write("ROLLBACK;\n")

    def remove(self) -> None:
        """Stop it, and delete the cluster."""
        if (self._data / "postmaster.pid").exists():
            self._pg_ctl("--mode", "immediate", "stop")
        shutil.rmtree(self.place)

    def _pg_ctl(self, *arguments: str) -> None:
        command = [str(self._control), "--pgdata", str(self._data), "--wait", *arguments]
        subprocess.run(_as_nobody(command), check=True, stdout=subprocess.DEVNULL)


def _runs(pid: int) -> bool:
    """Neither gone nor waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _as_nobody(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command]
