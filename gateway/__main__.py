"""``python -m gateway``."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence

import grpc
import uvloop
from aiohttp import web
from aiohttp.typedefs import Middleware

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc, model_admin_pb2, model_admin_pb2_grpc
from cardiomesh.chassis.calls import Calls
from cardiomesh.chassis.service import Application, run
from cardiomesh.chassis.settings import load_settings
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.rpc.channel import dial
from gateway.admission import AdaptiveLimit, Admission, TenantLimits
from gateway.analysis.analysis import Analysis
from gateway.analysis.cache import ResultCache
from gateway.analysis.preparing import Preparing
from gateway.analysis.recent import Recent
from gateway.backends.backend import Backend
from gateway.backends.inference import Inference
from gateway.catalogue import Catalogue
from gateway.decision import Decider, load_policy
from gateway.door import Door
from gateway.duplicates import NearDuplicates
from gateway.explaining import Explaining
from gateway.http.api import HttpApi
from gateway.http.document import add_documents
from gateway.http.guard import guard
from gateway.http.kserve import HttpPassThrough
from gateway.identity import Authenticator, IdentityFile, TokenRules, TokenVerifier, anonymous
from gateway.live import LiveLimits, LiveStreams, TokenMint
from gateway.long import LongAnalysis
from gateway.passthrough import SERVICE as KSERVE
from gateway.passthrough import PassThrough
from gateway.routing import Router
from gateway.routing.wiring import Routing
from gateway.servicer import CardioMeshServicer
from gateway.settings import GatewaySettings
from gateway.store import Durability, Journal, Ledger, LedgerKeys, migrate, open_engine

log = logging.getLogger("cardiomesh.gateway")


def _authenticator(settings: GatewaySettings) -> Authenticator:
    tokens = None
    if settings.jwks is not None:
        tokens = TokenVerifier(
            TokenRules(
                jwks=settings.jwks,
                issuer=settings.jwt_issuer or "",
                audience=settings.jwt_audience or "",
                leeway_s=settings.jwt_leeway_s,
                roles_claim=settings.jwt_roles_claim,
                tenant_claim=settings.jwt_tenant_claim,
            )
        )
    authenticator = Authenticator(
        IdentityFile(settings.identities) if settings.identities is not None else None,
        tokens,
        anonymous(settings.anonymous_roles, settings.anonymous_tenant),
    )
    if authenticator.closed:
        log.warning("closed: nobody can be authenticated; set CARDIOMESH_IDENTITIES or CARDIOMESH_JWKS")
    return authenticator


def _mint(settings: GatewaySettings) -> TokenMint:
    if settings.store_key is not None:
        return TokenMint(LedgerKeys.read(settings.store_key).tokens, settings.live_resume_s)
    log.warning("live recordings are taken up again by this process only: there is no CARDIOMESH_STORE_KEY to share")
    return TokenMint(secrets.token_bytes(32), settings.live_resume_s)


def _live(settings: GatewaySettings, analysis: Analysis, router: Router, telemetry: Telemetry) -> LiveStreams:
    limits = LiveLimits(
        streams=settings.live_streams,
        tenant_streams=settings.live_tenant_streams,
        windows_at_once=settings.live_windows_at_once,
        behind_s=settings.live_behind_s,
        idle_s=settings.live_idle_s,
        window_s=settings.default_deadline_s,
    )
    return LiveStreams(analysis, router.stable, _mint(settings), telemetry, limits)


def _ledger(settings: GatewaySettings, telemetry: Telemetry) -> Ledger | None:
    if settings.store_url is None or settings.store_key is None:
        log.warning("nothing is recorded: there is no audit trail without CARDIOMESH_STORE_URL")
        return None
    journal = None
    if settings.store_durability is Durability.JOURNAL and settings.store_journal is not None:
        journal = Journal(settings.store_journal, settings.store_journal_bytes)
    engine = open_engine(settings.store_url.get_secret_value(), settings.store_timeout_s)
    return Ledger(
        engine, LedgerKeys.read(settings.store_key), telemetry, journal=journal, timeout_s=settings.store_timeout_s
    )


def _duplicates(settings: GatewaySettings, cache: ResultCache) -> NearDuplicates | None:
    if not settings.near_duplicates_s or settings.store_key is None:
        return None
    return NearDuplicates(cache, LedgerKeys.read(settings.store_key).duplicates, settings.near_duplicates_s)


def build(settings: GatewaySettings, telemetry: Telemetry) -> Application:
    """Wire the gateway."""
    tls = settings.dial_tls()

    def backend(name: str, address: str, *, ours: bool = True) -> Backend:
        channel = dial(address, tls, ping_idle=ours)
        return Backend(name, channel, telemetry, cool_down_s=settings.backend_cool_down_s)

    triton = backend("triton", settings.triton_address, ours=False)
    preprocessor = backend("preprocessor", settings.preprocessor_address)
    explainer = backend("explainer", settings.explainer_address)
    tenants = TenantLimits(
        settings.redis_url,
        rate=settings.tenant_rate,
        burst=settings.tenant_burst,
        timeout_s=settings.cache_timeout_s,
        cool_down_s=settings.cache_cool_down_s,
    )
    limit = AdaptiveLimit(
        least=settings.admission_least, most=settings.admission_most, tolerance=settings.admission_tolerance
    )
    admission = Admission(
        limit,
        tenants,
        telemetry,
        longest_wait_s=settings.admission_wait_s,
        # The rest of the calls in flight is for those that need no work, and for emergencies.
        most_waiting=settings.max_concurrent_calls // 2,
    )
    cache = ResultCache(
        settings.redis_url,
        telemetry,
        ttl_s=settings.cache_ttl_s,
        timeout_s=settings.cache_timeout_s,
        cool_down_s=settings.cache_cool_down_s,
    )
    ledger = _ledger(settings, telemetry)
    catalogue = Catalogue(settings.model_repository, triton.channel, settings.default_model)
    inference = Inference(triton, telemetry)
    routing = Routing.of(settings, catalogue, inference, ledger, telemetry)
    router = routing.router
    decider = Decider(load_policy()) if settings.decision else None
    recent = Recent(settings.recent_mib * 2**20, settings.recent_s)
    preparing = Preparing(router, cache, recent, preprocessor)
    analysis = Analysis(
        router,
        routing.trials,
        cache,
        inference,
        preparing,
        admission,
        recent,
        telemetry,
        decider=decider,
        duplicates=_duplicates(settings, cache),
        keep_tensors=settings.keep_tensors,
    )
    explaining = Explaining(analysis, preparing, router, explainer, admission, at_once=settings.explanations_at_once)
    door = Door(_authenticator(settings), ledger, admission)

    live = _live(settings, analysis, router, telemetry)
    servicer = CardioMeshServicer(
        analysis,
        explaining,
        LongAnalysis(router, inference, preprocessor, admission),
        live,
        catalogue,
        router,
        telemetry.series,
        batch_items=settings.batch_items,
        item_seconds=settings.default_deadline_s,
    )
    http_kserve = HttpPassThrough(settings.triton_http_address, triton, catalogue, admission, telemetry)

    def routes(app: web.Application, calls: Calls) -> Sequence[Middleware]:
        HttpApi({"CardioMesh": servicer, "ModelAdmin": routing.servicer}).add_routes(app)
        http_kserve.add_routes(app)
        add_documents(app)
        return (guard(door, calls),)

    def register(server: grpc.aio.Server) -> None:
        gateway_pb2_grpc.add_CardioMeshServicer_to_server(servicer, server)
        model_admin_pb2_grpc.add_ModelAdminServicer_to_server(routing.servicer, server)
        server.add_generic_rpc_handlers((PassThrough(triton, catalogue, admission),))

    async def probe() -> Sequence[str]:
        served, routed = await asyncio.gather(catalogue.refresh(), router.refresh())
        missing = [*served, *routed]
        # The explainer and the cache may be away: analyses go on without them.
        if preprocessor.channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
            missing.append("preprocessor")
        return missing

    async def start() -> None:
        if ledger is not None:
            if settings.store_migrate:
                await migrate(ledger.engine)
            ledger.start()
        await probe()  # the first call finds models and routes known

    async def close() -> None:
        await routing.trials.close()
        if ledger is not None:
            await ledger.close()
        await http_kserve.close()
        await cache.close()
        await tenants.close()
        for part in (triton, preprocessor, explainer):
            await part.channel.close()

    return Application(
        name="gateway",
        services=(
            gateway_pb2.DESCRIPTOR.services_by_name["CardioMesh"].full_name,
            model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdmin"].full_name,
            KSERVE,
        ),
        register=register,
        probe=probe,
        routes=routes,
        door=door.enter,
        knock=door.knock,
        start=start,
        drain=live.drain,
        close=close,
    )


def main() -> None:
    """Run the gateway until told to stop."""
    settings = load_settings(GatewaySettings, "gateway")
    # A call is a dozen turns of the loop, and libuv's are cheaper. The services that start child processes stay with
    # asyncio's own: there a child that was handed a file was sometimes lost.
    run("gateway", settings, lambda telemetry: build(settings, telemetry), uvloop.new_event_loop)


if __name__ == "__main__":
    main()
