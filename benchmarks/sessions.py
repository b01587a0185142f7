"""What niceness is worth between processes of one session and of two: ``python benchmarks/sessions.py``.

Two endless loops on one core, niceness 0 and 15, for three seconds; the processor time of each. Needs Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

LOOP = (
    "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.nice(int(sys.argv[1]))\nwhile 1: pass"
)


def seconds(process: subprocess.Popen[bytes]) -> float:
    """Its processor time so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print one line for each way of starting the two."""
    for own_session in (True, False):
        command = [sys.executable, "-c", LOOP]
        loops = [
            subprocess.Popen(
                [*command, niceness], start_new_session=own_session, process_group=None if own_session else 0
            )
            for niceness in ("0", "15")
        ]
        time.sleep(3)
        used = [seconds(loop) for loop in loops]
        for loop in loops:
            loop.kill()
            loop.wait()
        where = "sessions of their own" if own_session else "one session"
        print(f"{where}: niceness 0 got {used[0]:.2f} s, niceness 15 got {used[1]:.2f} s")


if __name__ == "__main__":
    main()
