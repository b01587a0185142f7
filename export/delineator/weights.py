"""The trained network as the file that ``cardiomesh.ecg.delineation`` runs, and back to train it further."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from export.delineator.network import Segmenter, Served, without_norms

__all__ = ["read", "write"]

#: Leads and samples of the recording that the exporter traces; the graph takes any number of either.
_EXAMPLE = (12, 2528)


def write(model: Segmenter, provenance: Mapping[str, object], path: Path) -> None:
    """Store ``model`` as ONNX; its batch normalisations are folded away in place."""
    with warnings.catch_warnings():
        # Deprecated, but the newer exporter takes 15 s for this graph, and stores where the source files lie.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Served(model.eval()).eval(),
            (torch.zeros(_EXAMPLE),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["ecg"],
            output_names=["logits"],
            dynamic_axes={"ecg": {0: "leads", 1: "samples"}, "logits": {0: "leads", 3: "frames"}},
        )
    stored = onnx.load(path)
    onnx.helper.set_model_props(stored, {"provenance": json.dumps(dict(provenance))})
    onnx.save(stored, path)


def read(path: Path) -> Segmenter:
    """A network that ``write`` stored, without batch normalisations, ready to be trained further."""
    model = without_norms(Segmenter())
    state = {
        tensor.name.removeprefix("segmenter."): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.startswith("segmenter.")
    }
    model.load_state_dict(state)
    return model
