"""``python -m explainer``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh._proto.explainer.v1 import explainer_pb2, explainer_pb2_grpc
from cardiomesh.cards import CardStore
from cardiomesh.chassis.service import Application, run
from cardiomesh.chassis.settings import load_settings
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.rpc.channel import dial
from cardiomesh.rules import load_rules
from explainer.admission import Admission
from explainer.explanation import Explanation
from explainer.pace import Pace
from explainer.served import ServedModel
from explainer.servicer import ExplainerServicer
from explainer.settings import ExplainerSettings
from explainer.verdict import Verdicts

_LOOK_TIMEOUT_S = 2.0


def build(settings: ExplainerSettings, telemetry: Telemetry) -> Application:
    """Wire the explainer."""
    load_rules()  # a wrong rule file is found at the start, not by the first caller
    triton = dial(settings.triton_address, settings.dial_tls())
    stub = service_pb2_grpc.GRPCInferenceServiceStub(triton)
    explanation = Explanation(
        CardStore(settings.model_repository),
        ServedModel(triton, telemetry, Pace(settings.explanation_share)),
        telemetry,
        Verdicts(settings.model_repository),
        Admission(settings.explanations_at_once, settings.explanations_waiting),
    )

    async def probe() -> Sequence[str]:
        try:
            answer = await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=_LOOK_TIMEOUT_S)
        except grpc.RpcError:
            return ["triton"]
        return [] if answer.ready else ["triton"]

    return Application(
        name="explainer",
        services=(explainer_pb2.DESCRIPTOR.services_by_name["Explainer"].full_name,),
        register=lambda server: explainer_pb2_grpc.add_ExplainerServicer_to_server(
            ExplainerServicer(explanation), server
        ),
        probe=probe,
        close=triton.close,
    )


def main() -> None:
    """Run the explainer until told to stop, or one of the commands of its fidelity harness."""
    if sys.argv[1:2] and sys.argv[1] in ("evaluate", "basis"):
        from explainer.evaluation.command import main as measure  # what the service itself never needs

        measure(sys.argv[1:])
        return
    settings = load_settings(ExplainerSettings, "explainer")
    os.nice(settings.niceness)  # numbers are crunched here, too: predictions come first
    run("explainer", settings, lambda telemetry: build(settings, telemetry))


if __name__ == "__main__":
    main()
