"""Which model answers: the routing table, trials beside it, and what stands in when a model is away."""

from gateway.routing.book import FileBook, MemoryBook, RouteBook, SqlBook
from gateway.routing.choice import Arm, Choice, ModelFailed, Wanted, answering
from gateway.routing.router import Router

__all__ = [
    "Arm",
    "Choice",
    "FileBook",
    "MemoryBook",
    "ModelFailed",
    "RouteBook",
    "Router",
    "SqlBook",
    "Wanted",
    "answering",
]
