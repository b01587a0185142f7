"""The small graph that joins the members of an ensemble: a weighted mean of their calibrated logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from cardiomesh.cards import Head
from export.formats.onnx import IR_VERSION, OPSET

__all__ = ["Member", "combined_logits", "tensor", "write_combination"]


def tensor(member: str, head: str) -> str:
    """Name of a member's logits inside the ensemble."""
    return f"{member}_{head}"


@dataclass(frozen=True)
class Member:
    """One member: its place in the repository, its calibrated heads, and its weight in each head."""

    name: str
    version: int
    heads: Mapping[str, Head]
    weights: Mapping[str, float]

    def tensor(self, head: str) -> str:
        """Name of this member's logits inside the ensemble."""
        return tensor(self.name, head)

    def line(self, head: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Slope and shift per class that turn this member's logits into its share of the ensemble's."""
        classes, weight = self.heads[head].classes, self.weights[head]
        slope = np.array([c.scale for c in classes]) / self.heads[head].temperature
        return weight * slope, weight * np.array([c.bias for c in classes])


def combined_logits(
    members: Sequence[Member], logits: Mapping[str, npt.NDArray[np.floating]], head: str
) -> npt.NDArray[np.float32]:
    """Σ weight · calibrated logit; ``logits`` are keyed by ``Member.tensor``."""
    lines = [(m.line(head), logits[m.tensor(head)]) for m in members]
    return np.asarray(sum(slope * z + shift for (slope, shift), z in lines), dtype=np.float32)


def write_combination(path: Path, members: Sequence[Member], heads: Mapping[str, int]) -> None:
    """Write the graph: one input per member and head, one output per head."""
    nodes, inputs, outputs, constants = [], [], [], []
    for head, count in heads.items():
        terms = []
        for member in members:
            name = member.tensor(head)
            slope, _ = member.line(head)
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count]))
            constants.append(numpy_helper.from_array(slope.astype(np.float32), f"{name}.slope"))
            nodes.append(helper.make_node("Mul", [name, f"{name}.slope"], [f"{name}.scaled"]))
            terms.append(f"{name}.scaled")
        shift = np.sum([member.line(head)[1] for member in members], axis=0)
        constants.append(numpy_helper.from_array(shift.astype(np.float32), f"{head}.shift"))
        nodes.append(helper.make_node("Sum", [*terms, f"{head}.shift"], [head]))
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
