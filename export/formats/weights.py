"""One weights file for all graphs of a network.

``weights.bin`` holds the parameters of the served network as FP16, in the order of ``named_parameters`` and each at a
multiple of 64 bytes. Every ONNX graph made from the network refers to it as external data, so the copies beside the
prediction and the attribution graph are byte-identical, and a repository of files that stores equal content once
(git, most registries) stores one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.architectures.hybrid import Hybrid
from export.errors import CheckpointError

__all__ = [
    "STORED_SUFFIX",
    "WEIGHTS_FILE",
    "own_name",
    "read_weights",
    "relink_weights",
    "share_weights",
    "write_weights",
]

WEIGHTS_FILE: Final = "weights.bin"
#: What a parameter's name gets added in the graph where its FP16 form is meant.
STORED_SUFFIX: Final = ".fp16"
_ALIGNMENT: Final = 64
#: Smaller constants stay in the graph: a reference would be larger than they are.
_SMALLEST_SHARED: Final = 64
_BEFORE_ANY_INDEX: Final = np.iinfo(np.int64).min

Half = npt.NDArray[np.float16]


def _starts(network: Hybrid) -> tuple[dict[str, int], int]:
    """Where each parameter begins, and where the file ends."""
    starts, end = {}, 0
    for name, parameter in network.named_parameters():
        starts[name] = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = starts[name] + 2 * parameter.numel()
    return starts, end


def _layout(network: Hybrid) -> dict[str, tuple[Half, int]]:
    """Each parameter's FP16 values and its place in the file."""
    places = {}
    starts, _ = _starts(network)
    for name, parameter in network.named_parameters():
        value = parameter.detach().numpy().astype(np.float16)
        if not np.array_equal(value.astype(np.float32), parameter.detach().numpy()):
            raise TypeError(f"{name} is not exact in half precision: make the network with served_network")
        places[name] = (value, starts[name])
    return places


def write_weights(network: Hybrid, path: Path) -> None:
    """Write the weights file of a served network."""
    with path.open("wb") as file:
        for value, start in _layout(network).values():
            file.write(bytes(start - file.tell()))
            file.write(value.tobytes())


def own_name(tensor: str) -> str:
    """A constant's name as the network has it: the attribution graph holds the network as a part."""
    return tensor.removeprefix("network.")


def read_weights(network: Hybrid, path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The parameters that ``write_weights`` wrote for a network of this shape; ``CheckpointError`` if it did not."""
    raw = path.read_bytes()
    starts, end = _starts(network)
    if len(raw) != end:
        raise CheckpointError(f"{path} holds {len(raw)} bytes where this network has {end}")
    return {
        name: np.frombuffer(raw, np.float16, parameter.numel(), starts[name])
        .reshape(tuple(parameter.shape))
        .astype(np.float32)
        for name, parameter in network.named_parameters()
    }


class _Sharing:
    """Replaces constants of one graph by references to the weights file."""

    def __init__(self, network: Hybrid) -> None:
        self._places = _layout(network)
        self._found: dict[tuple[tuple[int, ...], bytes], tuple[str, tuple[int, ...] | None, bool]] = {}
        for name, (value, _) in self._places.items():
            if value.size < _SMALLEST_SHARED:
                continue
            self._note(value, name, None, False)
            if value.ndim == 2:
                self._note(value.T, name, (1, 0), False)
            if value.ndim == 3:
                turned = value.transpose(1, 0, 2)
                self._note(turned, name, (1, 0, 2), False)
                self._note(turned[:, :, ::-1], name, (1, 0, 2), True)
        self._loaded: dict[str, str] = {}
        self.stored: list[TensorProto] = []
        self.nodes: list[Any] = []
        self.constants: dict[str, TensorProto] = {}

    def _note(self, value: Half, name: str, order: tuple[int, ...] | None, flipped: bool) -> None:
        self._found.setdefault((value.shape, value.tobytes()), (name, order, flipped))

    def replace(self, tensor: TensorProto) -> bool:
        """Compute ``tensor`` from the weights file, where it is a parameter: as it is, transposed, or flipped too."""
        value = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), value):
            return False
        own = own_name(tensor.name)
        if own in self._places and np.array_equal(self._places[own][0], half):
            self._load(own, tensor.name)
            return True
        known = self._found.get((half.shape, half.tobytes()))
        if known is None:
            return False
        name, order, flipped = known
        source = self._load(name, name)
        steps: list[tuple[str, dict[str, Any]]] = [("Transpose", {"perm": order})] if order else []
        steps += [("Slice", {})] if flipped else []
        for index, (operator, attributes) in enumerate(steps or [("Identity", {})]):
            target = f"{tensor.name}.turned" if index < len(steps) - 1 else tensor.name
            inputs = [source, *(self._backwards() if operator == "Slice" else [])]
            self.nodes.append(helper.make_node(operator, inputs, [target], name=f"{target}.node", **attributes))
            source = target
        return True

    def _backwards(self) -> list[str]:
        values = {"start": -1, "end": _BEFORE_ANY_INDEX, "axis": 2, "step": -1}
        for key, value in values.items():
            self.constants[f"backwards.{key}"] = numpy_helper.from_array(np.array([value]), f"backwards.{key}")
        return [f"backwards.{key}" for key in values]

    def _load(self, name: str, target: str) -> str:
        """The float32 value that is the parameter: ``target``, unless the graph has it already."""
        if name in self._loaded:
            return self._loaded[name]
        value, start = self._places[name]
        tensor = TensorProto(name=f"{name}{STORED_SUFFIX}", data_type=TensorProto.FLOAT16, dims=value.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, entry in (("location", WEIGHTS_FILE), ("offset", str(start)), ("length", str(value.nbytes))):
            tensor.external_data.add(key=key, value=entry)
        self.stored.append(tensor)
        self.nodes.append(
            helper.make_node("Cast", [tensor.name], [target], name=f"{target}.cast", to=TensorProto.FLOAT)
        )
        self._loaded[name] = target
        return target


def share_weights(model: onnx.ModelProto, network: Hybrid) -> None:
    """Make ``model`` read every constant that is a parameter of ``network`` from the weights file beside it.

    Casts, transpositions and flips of constants are computed once, when a runtime loads the file.
    """
    graph, sharing = model.graph, _Sharing(network)
    named = dict(network.named_parameters())
    # First those that go by their own name, so that what is derived from them can refer to it.
    tensors = sorted(graph.initializer, key=lambda t: own_name(t.name) not in named)
    replaced = {
        t.name
        for t in tensors
        if t.data_type == TensorProto.FLOAT and np.prod(t.dims) >= _SMALLEST_SHARED and sharing.replace(t)
    }
    kept = [t for t in graph.initializer if t.name not in replaced]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *sharing.stored, *sharing.constants.values()])
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*sharing.nodes, *nodes])


def relink_weights(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Make ``model`` read again from the weights file what ``source``, from which it was made, reads there.

    Tools that load a graph fold its references into constants under the same names; those constants become again
    what computes them in ``source``.
    """
    constants = {t.name: t for t in source.graph.initializer}
    producers = {name: node for node in source.graph.node for name in node.output}

    def chain(name: str) -> tuple[list[Any], list[TensorProto]] | None:
        """The nodes and constants that compute ``name`` from constants alone, in order."""
        if name in constants:
            return [], [constants[name]]
        node = producers.get(name)
        if node is None:
            return None
        nodes, found = [], []
        for part in node.input:
            known = chain(part)
            if known is None:
                return None
            nodes += known[0]
            found += known[1]
        return [*nodes, node], found

    added: dict[str, Any] = {}
    stored: dict[str, TensorProto] = {}
    kept = []
    for tensor in model.graph.initializer:
        known = chain(tensor.name) if tensor.name in producers else None
        if known is None or not any(t.data_location == TensorProto.EXTERNAL for t in known[1]):
            kept.append(tensor)
            continue
        added |= {node.output[0]: node for node in known[0]}
        stored |= {t.name: t for t in known[1]}
    names = {tensor.name for tensor in kept}
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *(t for name, t in stored.items() if name not in names)])
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*added.values(), *nodes])
