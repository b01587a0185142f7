"""Every method × every role."""

from __future__ import annotations

import pytest
from tritonclient.grpc import service_pb2

from cardiomesh._proto.gateway.v1 import gateway_pb2, model_admin_pb2
from cardiomesh.errors import PermissionDenied
from gateway.http.guard import ROUTES
from gateway.identity import POLICY, Caller, Role, permit

#: What the roles are for, said a second time and by hand: a slip in the table has to be made twice.
CLINICAL = {"Analyze", "AnalyzeBatch", "AnalyzeLong", "AnalyzeStream", "Explain", "ModelInfer", "ModelStreamInfer"}
LOOK_UP = {"GetResult"}
EVERYBODY = {"ListModels", "GetModelCard", "GetPerformance", "ServerLive", "ServerReady", "ServerMetadata"} | {
    f"Model{what}" for what in ("Ready", "Metadata", "Config", "Statistics")
}


def allowed(name: str, role: Role) -> bool:
    if name in EVERYBODY:
        return True
    if name in CLINICAL:
        return role is Role.CLINICIAN
    if name in LOOK_UP:
        return role in (Role.READER, Role.CLINICIAN)
    return role is Role.OPERATOR


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("method", sorted(POLICY))
def test_a_role_may_call_what_it_is_for_and_nothing_else(method: str, role: Role) -> None:
    caller = Caller("someone", "north", frozenset({role}), "api_key")
    if allowed(method.rpartition("/")[2], role):
        permit(caller, method)
    else:
        with pytest.raises(PermissionDenied):
            permit(caller, method)


def test_every_method_that_is_served_has_a_row() -> None:
    services = [
        gateway_pb2.DESCRIPTOR.services_by_name["CardioMesh"],
        model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdmin"],
        service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    ]
    served = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert served <= POLICY.keys()
    assert set(ROUTES.values()) <= served


def test_what_has_no_row_is_refused_to_everybody() -> None:
    caller = Caller("someone", "north", frozenset(Role), "api_key")
    with pytest.raises(PermissionDenied, match="not offered"):
        permit(caller, "/cardiomesh.gateway.v1.CardioMesh/Invented")
