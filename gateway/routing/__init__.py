"""Which model answers: the routing table, trials beside it, and what stands in when a model is away."""

from gateway.routing.choice import Arm, Choice, ModelFailed, Wanted
from gateway.routing.router import Router
from gateway.routing.trials import Trials

__all__ = ["Arm", "Choice", "ModelFailed", "Router", "Trials", "Wanted"]
