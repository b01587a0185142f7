"""The child's side: ``python -m preprocessor.slow.worker REJECT_BELOW DECODE_SECONDS DECODE_MEMORY_MIB``.

Reads requests from standard input and writes answers to standard output, until the input closes (so it never outlives
its parent), as frames of ``preprocessor/frames.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError
from cardiomesh.rpc.status import item_error
from preprocessor.frames import ERROR, take, write

__all__ = ["ANSWER", "REQUEST"]

REQUEST: Final = b"r"
ANSWER: Final = b"a"
#: As far back as the kernel's ordinary scheduling goes.
_NICENESS: Final = 19


def main(arguments: Sequence[str]) -> None:
    """Prepare one recording after the other."""
    reject_below, seconds, memory_mib = arguments
    os.nice(_NICENESS)  # before a second of imports
    from preprocessor.decoding.isolation import WorkerPool
    from preprocessor.memory import settle
    from preprocessor.preparation import Preparation

    workers = WorkerPool(1, seconds=float(seconds), memory_mib=int(memory_mib))
    prepare = Preparation(Telemetry("preprocessor"), workers.decode, float(reject_below))
    settle()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (payload := take(source)) is not None:
        request = preprocessor_pb2.PrepareRequest.FromString(payload)
        try:
            answer = prepare(request)
        except CardioMeshError as error:
            write(sink, ERROR, item_error(error))
        else:
            write(sink, ANSWER, answer)


if __name__ == "__main__":
    main(sys.argv[1:])
