"""Who calls, for which tenant, and what they may do."""

from gateway.identity.authenticator import Authenticator, anonymous
from gateway.identity.caller import Caller, Role
from gateway.identity.directory import IdentityFile, new_key
from gateway.identity.policy import AUDITED, POLICY, STREAMS, permit
from gateway.identity.tokens import TokenRules, TokenVerifier

__all__ = [
    "AUDITED",
    "POLICY",
    "STREAMS",
    "Authenticator",
    "Caller",
    "IdentityFile",
    "Role",
    "TokenRules",
    "TokenVerifier",
    "anonymous",
    "new_key",
    "permit",
]
