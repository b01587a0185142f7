"""The Triton backend ``onnxruntime``, in Python, for the embedded server only.

Triton loads this file for every model whose ``config.pbtxt`` says ``backend: "onnxruntime"``, where the NGC
image loads NVIDIA's C++ backend of the same name. Both read the same ``config.pbtxt`` and ``model.onnx``, and
this one honours the same parameters with the same defaults (README of triton-inference-server/onnxruntime_backend,
"Model Config Options").

It runs in Triton's stub process, in the runtime environment that ``cardiomesh.local.runtime`` builds; it can
import nothing of ``cardiomesh``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

#: Triton's type names, by the names ONNX Runtime gives the same types.
TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
TRUE, FALSE = {"1", "true", "on"}, {"0", "false", "off"}
CARD_FILE = "card.json"
#: What ONNX Runtime opens: graphs and their external weights. A card may list plans for other backends.
READ_HERE = (".onnx", ".bin")


class CannotServe(Exception):
    """This model must not be served; Triton reports the message as the reason."""


class Tensor(NamedTuple):
    """One input or output: shape ``(batch, ...)``, -1 where any size will do."""

    name: str
    type: str
    shape: tuple[int, ...]


def check_numpy(version: str) -> None:
    """Refuse numpy 2: Triton 2.51's stub then sends every output empty, and without an error."""
    if int(version.partition(".")[0]) >= 2:
        raise CannotServe(f"numpy {version} would empty every output of this Triton; it needs numpy<2")


def card_for(model: Path) -> Path | None:
    """The card that speaks of this version: beside it, or beside the model of which it is a part.

    ``NAME_attribution`` and ``NAME_combination`` have no card of their own; NAME's lists their files.
    """
    name, version = model.parent.parent.name, model.parent.name
    for owner in (name, name.rpartition("_")[0]):
        card = model.parent.parent.parent / owner / version / CARD_FILE
        if owner and card.is_file():
            return card
    return None


def check_artifact(model: Path) -> None:
    """Refuse files that are not the ones the card describes: the graph, and the weights it reads with it.

    No card, no claim to check.
    """
    card = card_for(model)
    if card is None:
        return
    own = f"{model.parent.parent.name}/{model.parent.name}/"
    for key, artifact in json.loads(card.read_bytes()).get("artifacts", {}).items():
        name = key.removeprefix(own)
        if name == key or not name.endswith(READ_HERE):
            continue
        file = model.with_name(name)
        if not file.is_file():
            raise CannotServe(f"{name} is in {CARD_FILE} but not in the repository")
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != artifact["sha256"]:
            raise CannotServe(f"{name} has sha256 {found}, its {CARD_FILE} says {artifact['sha256']}")


def declared(entries: Sequence[dict[str, Any]], batched: bool) -> list[Tensor]:
    """The tensors of ``config.pbtxt`` as the graph sees them: batch dimension added, ``reshape`` applied."""
    tensors = []
    for entry in entries:
        if entry.get("allow_ragged_batch") or entry.get("optional"):
            raise CannotServe(f"{entry['name']}: ragged and optional inputs are not offered here")
        dims = entry["reshape"]["shape"] if "reshape" in entry else entry["dims"]
        shape = tuple(int(size) for size in dims)
        tensors.append(Tensor(entry["name"], entry["data_type"], (-1, *shape) if batched else shape))
    return tensors


def check_contract(config: Sequence[Tensor], graph: dict[str, Tensor], what: str) -> None:
    """Names, types and shapes of the configuration must be those of the graph."""
    for tensor in config:
        found = graph.get(tensor.name)
        if found is None:
            raise CannotServe(f"the graph has no {what} {tensor.name!r}; it has {', '.join(sorted(graph))}")
        if tensor.type != found.type:
            raise CannotServe(f"{what} {tensor.name!r} is {found.type} in the graph, not {tensor.type}")
        same = len(tensor.shape) == len(found.shape) and all(
            a == b or -1 in (a, b) for a, b in zip(tensor.shape, found.shape, strict=True)
        )
        if not same:
            raise CannotServe(f"{what} {tensor.name!r} is {found.shape} in the graph, not {tensor.shape}")


def session_options(config: dict[str, Any]) -> ort.SessionOptions:
    """The options NVIDIA's backend would set from the same configuration."""
    values = {key: entry["string_value"] for key, entry in config.get("parameters", {}).items()}

    def integer(key: str, allowed: Callable[[int], bool]) -> int:
        text = values.get(key, "0")
        if not re.fullmatch(r"\d+", text) or not allowed(int(text)):
            raise CannotServe(f"parameter {key}: {text!r} is not a valid value")
        return int(text)

    def flag(key: str) -> bool:
        text = values.get(key, "1").lower()
        if text not in TRUE | FALSE:
            raise CannotServe(f"parameter {key}: {text!r} is neither true nor false")
        return text in TRUE

    options = ort.SessionOptions()
    options.intra_op_num_threads = integer("intra_op_thread_count", lambda n: n >= 0)
    options.inter_op_num_threads = integer("inter_op_thread_count", lambda n: n >= 0)
    parallel = integer("execution_mode", lambda n: n in (0, 1))
    options.execution_mode = ort.ExecutionMode.ORT_PARALLEL if parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = flag("enable_mem_arena")
    options.enable_mem_pattern = flag("enable_mem_pattern")
    initializers = "session.use_device_allocator_for_initializers"
    if initializers in values:
        options.add_session_config_entry(initializers, values[initializers])
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = {
        -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    }.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    return options


def run_options(config: dict[str, Any]) -> ort.RunOptions | None:
    """Options of each run; None when there are none to set."""
    key = "memory.enable_memory_arena_shrinkage"
    entry = config.get("parameters", {}).get(key)
    if entry is None:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(key, entry["string_value"])
    return options


def niceness(config: dict[str, Any]) -> int:
    """How far this model stands back from others on the processor, 0 to 19; NVIDIA's backend knows no such thing."""
    text = config.get("parameters", {}).get("niceness", {"string_value": "0"})["string_value"]
    if not re.fullmatch(r"1?\d", text):
        raise CannotServe(f"parameter niceness: {text!r} is not a valid value")
    return int(text)


def graph_tensors(nodes: Sequence[Any]) -> dict[str, Tensor]:
    """Inputs or outputs of a session; a symbolic dimension is -1."""
    return {
        node.name: Tensor(
            node.name,
            TYPES.get(node.type, node.type),
            tuple(size if isinstance(size, int) else -1 for size in node.shape),
        )
        for node in nodes
    }


class TritonPythonModel:
    """One instance of one model: one ONNX Runtime session in one stub process."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph, or say why it must not be served."""
        try:
            self._load(args)
        except CannotServe as error:
            raise pb_utils.TritonModelException(str(error)) from None

    def _load(self, args: dict[str, str]) -> None:
        check_numpy(np.__version__)
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        model = Path(args["model_repository"], args["model_version"], file)
        if not model.is_file():
            raise CannotServe(f"there is no {model}")
        check_artifact(model)
        self._batched = config.get("max_batch_size", 0) > 0
        os.nice(niceness(config))  # before the session, so that its threads inherit it
        self._session = ort.InferenceSession(str(model), session_options(config), providers=["CPUExecutionProvider"])
        self._run_options = run_options(config)
        inputs = declared(config["input"], self._batched)
        outputs = declared(config["output"], self._batched)
        graph_inputs = graph_tensors(self._session.get_inputs())
        graph_outputs = graph_tensors(self._session.get_outputs())
        check_contract(inputs, graph_inputs, "input")
        check_contract(outputs, graph_outputs, "output")
        missing = set(graph_inputs) - {tensor.name for tensor in inputs}
        if missing:
            raise CannotServe(f"config.pbtxt lacks the inputs {', '.join(sorted(missing))} of the graph")
        self._inputs = [tensor.name for tensor in inputs]
        self._outputs = [tensor.name for tensor in outputs]
        self._self_check([graph_inputs[tensor.name] for tensor in inputs], inputs)

    def _self_check(self, graph: Sequence[Tensor], config: Sequence[Tensor]) -> None:
        """One run on seeded noise: every output must come out, and survive being made a Triton tensor.

        What a caller receives over the wire is compared with ONNX Runtime by ``cardiomesh.local.parity``.
        """
        rng = np.random.default_rng(0)
        feed = {}
        for of_graph, of_config in zip(graph, config, strict=True):
            if of_graph.type == "TYPE_STRING":
                return
            sizes = (max(pair) for pair in zip(of_graph.shape, of_config.shape, strict=True))
            shape = tuple(1 if size < 0 else size for size in sizes)
            dtype = np.dtype(pb_utils.triton_string_to_numpy(of_graph.type))
            noise = rng.standard_normal(shape) if dtype.kind == "f" else np.zeros(shape)
            feed[of_graph.name] = noise.astype(dtype)
        for name, value in zip(self._outputs, self._run(self._outputs, feed), strict=True):
            sent = pb_utils.Tensor(name, value).as_numpy()
            if value.size == 0 or sent.shape != value.shape or not np.array_equal(sent, value, equal_nan=True):
                raise CannotServe(f"output {name!r} comes back empty or changed from a run on noise")

    def _run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        values: list[Any] = self._session.run(outputs, feed, self._run_options)
        return values

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request of one Triton batch with one run, where their shapes allow it."""
        feeds = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        responses: list[Any] = [None] * len(requests)
        for group in self._groups(feeds):
            self._answer(group, requests, feeds, responses)
        return responses

    def _groups(self, feeds: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Indices of the requests that can share a run: batched, and equal in all but the first dimension."""
        if not self._batched:
            return [[index] for index in range(len(feeds))]
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for index, feed in enumerate(feeds):
            groups.setdefault(tuple(feed[name].shape[1:] for name in self._inputs), []).append(index)
        return list(groups.values())

    def _answer(
        self, group: Sequence[int], requests: Sequence[Any], feeds: Sequence[dict[str, Any]], responses: list[Any]
    ) -> None:
        wanted = {name for index in group for name in requests[index].requested_output_names()}
        names = [name for name in self._outputs if name in wanted]
        try:
            if len(group) == 1:
                feed = feeds[group[0]]
            else:
                feed = {name: np.concatenate([feeds[i][name] for i in group]) for name in self._inputs}
            values = dict(zip(names, self._run(names, feed), strict=True))
        except Exception as error:  # whatever a graph raises belongs to the request that caused it
            if len(group) == 1:
                responses[group[0]] = failed(error)
                return
            # Someone in the batch is at fault: each alone, so that only they hear of it.
            for index in group:
                self._answer([index], requests, feeds, responses)
            return
        rows = [len(feeds[index][self._inputs[0]]) for index in group] if self._batched else [0]
        start = 0
        for index, count in zip(group, rows, strict=True):
            tensors = []
            for name in requests[index].requested_output_names():
                value = values[name]
                part = value if len(group) == 1 else value[start : start + count]
                tensors.append(pb_utils.Tensor(name, part))
            responses[index] = pb_utils.InferenceResponse(tensors)
            start += count


def failed(error: Exception) -> Any:
    """A response that says what is wrong with this one request."""
    codes = pb_utils.TritonError
    code = codes.INVALID_ARG if isinstance(error, ort_errors.InvalidArgument) else codes.INTERNAL
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
