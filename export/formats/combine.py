"""The small graph that joins the members of an ensemble: a weighted mean of their calibrated logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.formats.onnx import IR_VERSION, OPSET

__all__ = ["Member", "combined_logits", "write_combination"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its place in the repository, its temperature per head and its weight."""

    name: str
    version: int
    temperatures: Mapping[str, float]
    weight: float

    def tensor(self, head: str) -> str:
        """Name of this member's logits inside the ensemble."""
        return f"{self.name}_{head}"


def combined_logits(members: Sequence[Member], logits: Mapping[str, np.ndarray], head: str) -> np.ndarray:
    """Σ weight · logits / temperature; ``logits`` are keyed by ``Member.tensor``."""
    parts = [m.weight / m.temperatures[head] * logits[m.tensor(head)] for m in members]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float32)


def write_combination(path: Path, members: Sequence[Member], heads: Mapping[str, int]) -> None:
    """Write the graph: one input per member and head, one output per head."""
    nodes, inputs, outputs, constants = [], [], [], []
    for head, count in heads.items():
        scaled = []
        for member in members:
            name = member.tensor(head)
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count]))
            scale = np.array(member.weight / member.temperatures[head], dtype=np.float32)
            constants.append(numpy_helper.from_array(scale, f"{name}.scale"))
            nodes.append(helper.make_node("Mul", [name, f"{name}.scale"], [f"{name}.scaled"]))
            scaled.append(f"{name}.scaled")
        nodes.append(helper.make_node("Sum", scaled, [head]))
        outputs.append(helper.make_tensor_value_info(head, TensorProto.FLOAT, ["batch", count]))
    graph = helper.make_graph(nodes, "combination", inputs, outputs, constants)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="cardiomesh-export",
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
