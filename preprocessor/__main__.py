"""``python -m preprocessor``."""

from __future__ import annotations

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh.chassis.service import Application, run
from cardiomesh.chassis.settings import load_settings
from cardiomesh.chassis.telemetry import Telemetry
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.long.desk import Limits, LongDesk
from preprocessor.memory import settle
from preprocessor.servicer import PreprocessorServicer
from preprocessor.settings import PreprocessorSettings
from preprocessor.slow.lane import SlowLane


def build(settings: PreprocessorSettings, telemetry: Telemetry) -> Application:
    """Wire the preprocessor. It needs no other part of the mesh."""
    workers = WorkerPool(
        settings.decode_workers, seconds=settings.decode_seconds, memory_mib=settings.decode_memory_mib
    )
    if settings.decode_warm:
        workers.start()
    servicer = PreprocessorServicer(
        telemetry,
        workers,
        quality_threshold=settings.quality_threshold,
        threads=settings.preprocessor_threads,
        item_seconds=settings.default_deadline_s,
        long=LongDesk(
            Limits(
                folder=settings.spool_folder,
                file_bytes=settings.long_file_mib * 2**20,
                recordings=settings.long_recordings,
                chunk_seconds=settings.long_chunk_seconds,
                part_seconds=settings.decode_seconds,
                memory_mib=settings.decode_memory_mib,
            ),
            settings.quality_threshold,
        ),
        slow=SlowLane(
            settings.quality_threshold,
            decode_seconds=settings.decode_seconds,
            decode_memory_mib=settings.decode_memory_mib,
        ),
    )
    return Application(
        name="preprocessor",
        services=(preprocessor_pb2.DESCRIPTOR.services_by_name["Preprocessor"].full_name,),
        register=lambda server: preprocessor_pb2_grpc.add_PreprocessorServicer_to_server(servicer, server),
        close=servicer.close,
    )


def main() -> None:
    """Run the preprocessor until told to stop."""
    settings = load_settings(PreprocessorSettings, "preprocessor")
    settle()
    run("preprocessor", settings, lambda telemetry: build(settings, telemetry))


if __name__ == "__main__":
    main()
