"""The life of a service: start, serve, drain on SIGTERM, stop.

An application says what it serves (``Application``); ``run`` gives it a gRPC server, health, reflection, an HTTP
port, telemetry and an orderly end.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from aiohttp import web
from aiohttp.typedefs import Middleware
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cardiomesh.chassis.calls import Calls
from cardiomesh.chassis.health import Health
from cardiomesh.chassis.http import operations_app
from cardiomesh.chassis.interceptor import CallInterceptor, Door, Knock, anybody_in, open_door
from cardiomesh.chassis.logs import configure_logs
from cardiomesh.chassis.settings import ServiceSettings
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.rpc.channel import channel_options
from cardiomesh.rpc.renewal import stamp_of

__all__ = ["Application", "RunningService", "run", "running"]

log = logging.getLogger("cardiomesh.service")


async def _nothing_missing() -> Sequence[str]:
    return ()


async def _nothing_to_do() -> None:
    return None


@dataclass(frozen=True)
class Application:
    """What one service adds to the chassis."""

    name: str
    #: Full gRPC service names, for health and reflection.
    services: tuple[str, ...]
    #: Adds the servicers to the server.
    register: Callable[[grpc.aio.Server], None]
    #: What is missing for calls to succeed.
    probe: Callable[[], Awaitable[Sequence[str]]] = _nothing_missing
    #: Who comes in over gRPC.
    door: Door = open_door
    #: Who is refused before that.
    knock: Knock = anybody_in
    #: Adds HTTP routes, and says what is around every one of them, inside what turns errors into problems.
    routes: Callable[[web.Application, Calls], Sequence[Middleware]] = field(default=lambda app, calls: ())
    #: Done before the first call is taken.
    start: Callable[[], Awaitable[None]] = _nothing_to_do
    #: Tells calls that could go on for hours to come to their end, when the service is to stop.
    drain: Callable[[], Awaitable[None]] = _nothing_to_do
    #: Releases what was opened.
    close: Callable[[], Awaitable[None]] = _nothing_to_do


@dataclass(frozen=True)
class RunningService:
    """A started service: where it listens, and how to end it."""

    grpc_address: str
    http_address: str
    health: Health
    drain: Callable[[], Awaitable[None]]


def _server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """TLS from files, read again whenever they change, so that a rotated certificate needs no restart."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        return None

    def read() -> grpc.ServerCertificateConfiguration:
        authorities = client_ca.read_bytes() if client_ca else None
        return grpc.ssl_server_certificate_configuration(
            [(key.read_bytes(), certificate.read_bytes())], root_certificates=authorities
        )

    files = [certificate, key, *([client_ca] if client_ca else [])]
    seen = stamp_of(files)

    def refresh() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        try:
            now = stamp_of(files)
            if now == seen:
                return None
            fresh = read()
        except OSError:
            log.exception("certificate files cannot be read; keeping the old ones")
            return None
        seen = now
        return fresh

    # The stub leaves out that the fetcher may answer None for "unchanged".
    fetcher: Any = refresh
    return grpc.dynamic_ssl_server_credentials(read(), fetcher, require_client_authentication=client_ca is not None)


@asynccontextmanager
async def running(
    settings: ServiceSettings, application: Application, telemetry: Telemetry
) -> AsyncIterator[RunningService]:
    """Serve for the length of the block, then drain and stop."""
    calls = Calls(
        telemetry,
        default_deadline_s=settings.default_deadline_s,
        max_concurrent_calls=settings.max_concurrent_calls,
    )
    options = [
        *channel_options(settings.max_message_bytes),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.so_reuseport", 0),
        # Pings of ``dial`` are welcome, in long quiet calls and between calls; grpc's default ends the connection.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ]
    if settings.max_connection_age_s:
        # Calls in flight on an old connection are finished; the caller's next one resolves the name again.
        options += [
            ("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1e3)),
            ("grpc.max_connection_age_grace_ms", int(settings.drain_grace_s * 1e3)),
        ]
    interceptor = CallInterceptor(calls, application.door, application.knock)
    server = grpc.aio.server(interceptors=(interceptor,), options=options)
    health = Health(application.services, application.probe, settings.ready_interval_s)
    application.register(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    names = (*application.services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)

    credentials = _server_credentials(settings)
    host = settings.grpc_address.rpartition(":")[0]
    port = (
        server.add_insecure_port(settings.grpc_address)
        if credentials is None
        else server.add_secure_port(settings.grpc_address, credentials)
    )
    await application.start()
    await server.start()
    web_app = operations_app(health, telemetry, settings.max_message_bytes)
    web_app.middlewares.extend(application.routes(web_app, calls))
    runner = web.AppRunner(web_app, access_log=None, handle_signals=False, handler_cancellation=True)
    await runner.setup()
    http_host, _, http_port = settings.http_address.rpartition(":")
    site = web.TCPSite(runner, http_host.strip("[]"), int(http_port))
    await site.start()
    await health.start()
    watcher = asyncio.create_task(health.watch())

    async def drain() -> None:
        await health.drain()
        log.info("draining", extra={"calls": calls.in_flight, "seconds": settings.drain_delay_s})
        await asyncio.sleep(settings.drain_delay_s)
        await application.drain()
        stopping = asyncio.ensure_future(server.stop(settings.drain_grace_s))
        with suppress(TimeoutError):
            await asyncio.wait_for(calls.wait_idle(), settings.drain_grace_s)
        await stopping
        log.info("drained", extra={"calls": calls.in_flight})

    bound_http = runner.addresses[0]
    try:
        yield RunningService(f"{host}:{port}", f"{http_host}:{bound_http[1]}", health, drain)
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
        await server.stop(0)
        await runner.cleanup()
        await application.close()


def run(
    service: str,
    settings: ServiceSettings,
    build: Callable[[Telemetry], Application],
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    """Run one service until SIGTERM or SIGINT; the body of every ``python -m <service>``."""
    configure_logs(service, settings.log_level)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_run(service, settings, build))


async def _run(service: str, settings: ServiceSettings, build: Callable[[Telemetry], Application]) -> None:
    telemetry = Telemetry(service, otlp_endpoint=settings.otlp_endpoint, trace_ratio=settings.trace_ratio)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        async with running(settings, build(telemetry), telemetry) as started:
            log.info("serving", extra={"address": started.grpc_address})
            await asked.wait()
            await started.drain()
    finally:
        telemetry.close()
