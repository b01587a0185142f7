"""What is computed when, for whom, and what is refused before it costs anything."""

from gateway.admission.gate import Admission, Turn
from gateway.admission.limit import AdaptiveLimit
from gateway.admission.priority import Priority, priority_of
from gateway.admission.tenants import TenantLimits

__all__ = [
    "AdaptiveLimit",
    "Admission",
    "Priority",
    "TenantLimits",
    "Turn",
    "priority_of",
]
