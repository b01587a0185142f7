"""The clinical decision layer: which thresholds hold here, what is certain, what a human must read, what comes first.

Everything that it may do stands in ``policy.yaml``. It computes on an answer that the model's card has made; with it
switched off the answer is the card's alone. No I/O.
"""

from gateway.decision.decide import Decider
from gateway.decision.order import by_urgency
from gateway.decision.policy import Policy, PolicyError, load_policy

__all__ = ["Decider", "Policy", "PolicyError", "by_urgency", "load_policy"]
