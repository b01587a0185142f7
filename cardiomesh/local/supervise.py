"""``python -m cardiomesh.local.supervise``: a supervisor as a process of its own (``up --detach``, tests).

The plan comes on standard input as JSON. Exit status: 0 stopped when told to, 1 the mesh failed, 3 a mesh already
runs in that directory.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from cardiomesh.local.errors import EXIT_ALREADY_RUNNING, EXIT_FAILED, AlreadyRunning, MeshError
from cardiomesh.local.plan import Plan
from cardiomesh.local.progress import Step
from cardiomesh.local.supervisor import Supervisor

__all__ = ["main"]


def _log(step: Step) -> None:
    seconds = f" ({step.seconds:.1f} s)" if step.seconds else ""
    detail = f": {step.detail}" if step.detail else ""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    print(f"{stamp} {step.name} {step.state}{seconds}{detail}", flush=True)


def main() -> int:
    """Supervise until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m cardiomesh.local.supervise")
    parser.add_argument("--directory", type=Path, required=True, help="where state.json, the lock and logs/ go")
    parser.add_argument("--lifeline", type=int, help="descriptor of a pipe; the mesh stops when it is closed")
    arguments = parser.parse_args()
    plan = Plan.model_validate_json(sys.stdin.buffer.read())
    try:
        Supervisor(plan, arguments.directory, _log, arguments.lifeline).run()
    except AlreadyRunning as error:
        print(error.message, file=sys.stderr, flush=True)
        return EXIT_ALREADY_RUNNING
    except MeshError as error:
        print(error.message, file=sys.stderr, flush=True)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
