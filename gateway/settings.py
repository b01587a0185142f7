"""Settings of the gateway, beside those every service has."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from cardiomesh.chassis.settings import ServiceSettings
from gateway.identity import Role
from gateway.identity.caller import TENANT_PATTERN
from gateway.store import Durability

__all__ = ["GatewaySettings"]


class GatewaySettings(ServiceSettings):
    """The front door."""

    triton_address: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC endpoint.")
    triton_http_address: str = Field("127.0.0.1:8000", description="host:port of Triton's HTTP endpoint.")
    preprocessor_address: str = Field("127.0.0.1:50052", description="host:port of the preprocessor.")
    explainer_address: str = Field("127.0.0.1:50053", description="host:port of the explainer.")
    model_repository: Path = Field(
        Path("model_repository"), description="Folder whose model cards are read; the one Triton serves."
    )
    default_model: str = Field("hybrid_mobile", description="Model that answers when a request names none.")
    mode_fast: str = Field("edge_optimized", description="Model that inference_mode FAST stands for.")
    mode_accurate: str = Field("ensemble", description="Model that inference_mode ACCURATE stands for.")
    fallback: tuple[str, ...] = Field(
        ("ensemble", "hybrid_full", "hybrid_mobile", "edge_optimized"),
        description="Models that stand in for each other, the dearest first, as JSON: for one that is away the next "
        "cheaper answers, then the next dearer; every such answer says so.",
    )
    routes_file: Path | None = Field(
        None,
        description="File of the routing table where there is no store; without it the table ends with the process.",
    )
    decision: bool = Field(
        True, description="Move thresholds by the documented policy; say what a human must read, and what first."
    )
    canary_errors: float = Field(
        2.0,
        gt=1,
        description="A canary that fails more than this many times as often as the stable version must go.",
    )
    canary_latency: float = Field(
        1.5,
        ge=1,
        description="A canary whose median inference takes more than this many times the stable version's must go.",
    )
    canary_disagreement: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="A canary must go that calls more than this share of statements otherwise than the stable version "
        "does on the same recordings.",
    )
    canary_run_length: float = Field(
        1e6,
        ge=1e2,
        description="Recordings between two wrong rollbacks of a good canary, in the mean and at least.",
    )
    shadow_busy: int = Field(8, ge=1, description="Inferences under way from which on no copies are made for trials.")
    batch_items: int = Field(8, ge=1, description="Items of one AnalyzeBatch stream that are worked on at once.")
    redis_url: str | None = Field(None, description="redis:// or rediss:// URL of the result cache; none: no cache.")
    cache_ttl_s: int = Field(3600, ge=1, description="Seconds that a result is kept.")
    cache_timeout_s: float = Field(0.1, gt=0, description="Longest wait for the cache, in seconds.")
    cache_cool_down_s: float = Field(
        2.0, gt=0, description="After a failure, seconds during which the cache is not even asked."
    )
    near_duplicates_s: int = Field(
        0,
        ge=0,
        description="Seconds in which the same recording of one subject is recognised in another form; 0: it is not "
        "looked for.",
    )
    store_url: SecretStr | None = Field(
        None, description="sqlite:///… or postgresql://… URL of studies, answers and the audit trail; none: not kept."
    )
    store_key: Path | None = Field(None, description="File of 32 random bytes or more behind the audit trail.")
    store_timeout_s: float = Field(2.0, gt=0, description="Longest wait for the store, in seconds.")
    store_durability: Durability = Field(
        Durability.DATABASE, description="What an answer waits for: the database, or a synced local journal."
    )
    store_journal: Path | None = Field(None, description="The journal's file, on a disk that outlives the process.")
    store_journal_bytes: int = Field(256 * 1024 * 1024, ge=1, description="Largest that the journal may become.")
    store_migrate: bool = Field(False, description="Bring the store's tables up to date at start.")
    keep_tensors: bool = Field(
        False,
        description="Keep each result's tensor as long as the result, so that it can be explained by its id alone; "
        "the cache then holds tracings.",
    )
    backend_cool_down_s: float = Field(
        1.0, gt=0, description="Seconds between two tries of a part of the mesh that does not answer."
    )
    admission_least: int = Field(4, ge=1, description="Computations that may always be under way at once.")
    admission_most: int = Field(
        128, ge=1, description="Computations under way at once, however well it goes; in between the limit is found."
    )
    admission_tolerance: float = Field(
        1.5, gt=1, description="How many times slower than alone computations may get before the limit gives way."
    )
    admission_wait_s: float = Field(
        0.5, ge=0, description="Longest that a routine call waits for its turn, in seconds; else it is refused at once."
    )
    tenant_rate: float = Field(
        0.0, ge=0, description="Computations a second that each tenant may have; 0, the default: no limit."
    )
    tenant_burst: int = Field(100, ge=1, description="Computations that a tenant may have at once after a pause.")
    recent_mib: int = Field(
        64,
        ge=0,
        description="Memory of this process for the recordings of the last results, in MiB, so that they can be "
        "explained by their ids alone; 0: none.",
    )
    recent_s: float = Field(600.0, gt=0, description="Seconds that such a recording is kept.")
    explanations_at_once: int = Field(8, ge=1, description="Explanations under way before new ones are refused.")
    live_streams: int = Field(64, ge=1, description="Live recordings analysed at once before new ones are refused.")
    live_tenant_streams: int = Field(32, ge=1, description="The same for one tenant.")
    live_windows_at_once: int = Field(2, ge=1, description="Windows of one live recording that are worked on at once.")
    live_behind_s: float = Field(
        60.0,
        ge=0,
        description="Seconds of signal that wait for their analysis before the sender has to, or windows go.",
    )
    live_idle_s: float = Field(60.0, gt=0, description="Seconds without samples after which a live recording ends.")
    live_resume_s: float = Field(
        900.0, gt=0, description="Seconds that a broken stream can be taken up again after its last answer."
    )
    identities: Path | None = Field(None, description="File of hashed API keys and known client certificates.")
    jwks: str | None = Field(None, description="https:// URL or file of the key set that signs bearer tokens.")
    jwt_issuer: str | None = Field(None, description="Issuer that a bearer token must name.")
    jwt_audience: str | None = Field(None, description="Audience that a bearer token must name.")
    jwt_roles_claim: str = Field("roles", description="Claim that holds the roles, a list or words.")
    jwt_tenant_claim: str = Field("tenant", description="Claim that holds the tenant.")
    jwt_leeway_s: float = Field(60.0, ge=0, le=600, description="Tolerated difference between clocks, in seconds.")
    anonymous_roles: frozenset[Role] = Field(
        frozenset(), description='Roles of callers that show nothing, as JSON: ["reader"]. Empty: they are refused.'
    )
    anonymous_tenant: str = Field("default", pattern=TENANT_PATTERN, description="Tenant of such callers.")

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> GatewaySettings:
        if self.admission_most < self.admission_least:
            raise ValueError("admission_most is below admission_least")
        return self

    @model_validator(mode="after")
    def _store_is_whole(self) -> GatewaySettings:
        if self.store_url is not None and self.store_key is None:
            raise ValueError("store_url needs store_key")
        if self.near_duplicates_s and (self.redis_url is None or self.store_key is None):
            raise ValueError("near_duplicates_s needs redis_url and store_key")
        if self.store_durability is Durability.JOURNAL and self.store_journal is None:
            raise ValueError("store_durability=journal needs store_journal")
        return self

    @model_validator(mode="after")
    def _tokens_are_whole(self) -> GatewaySettings:
        if self.jwks is not None and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("jwks needs jwt_issuer and jwt_audience")
        if self.jwks is not None and self.jwks.startswith("http://") and not _loopback(self.jwks):
            raise ValueError("jwks must be https:// or a file: whoever answers that URL decides who is let in")
        return self


def _loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
