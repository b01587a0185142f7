"""Exec a command that the kernel kills when its supervisor dies, however it dies.

``python -I -S launch.py SUPERVISOR_PID COMMAND...``: PR_SET_PDEATHSIG has to be set in the child between fork
and exec; doing it here instead of in ``preexec_fn`` is safe in a supervisor that has threads.
Imports nothing of cardiomesh: it starts in 20 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    supervisor = int(sys.argv[1])
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != supervisor:  # it died before the request was made
        os._exit(1)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
