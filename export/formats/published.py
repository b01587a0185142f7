"""Back from a published version to the network: the weights of an ONNX file, in PyTorch, checked against the file.

The file holds the served network: its batch normalisation is folded away. ``trainable_network`` puts one back whose
statistics are measured on real ECGs, so that training can go on where the published weights stand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from export.architectures import Hybrid, HybridConfig
from export.architectures.hybrid import ConvUnit
from export.architectures.served import served_network
from export.errors import CheckpointError
from export.formats.onnx import compare, probe
from export.formats.weights import STORED_SUFFIX, WEIGHTS_FILE, read_weights
from export.training.labels import LabelSpace

__all__ = ["read_network", "read_onnx", "read_published", "trainable_network"]

#: LayerNormalization, of which these networks are full, is an operator of its own since this one.
_OLDEST_OPSET: Final = 17


def read_onnx(path: Path) -> onnx.ModelProto:
    """A model file with its external weights.

    ``CheckpointError`` in one line where it cannot be read, is of an opset before 17, or holds weights that are not
    finite.
    """
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename or path} does not exist") from None
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read: {reason}") from None
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if not model.graph.node or opset < _OLDEST_OPSET:
        raise CheckpointError(f"{path} is no ONNX model of opset {_OLDEST_OPSET} or newer (found {opset})")
    for name, value in _stored(model).items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} holds values in {name} that are not finite")
    return model


def _stored(model: onnx.ModelProto) -> dict[str, Tensor]:
    """Initialisers as float32 by their name before storage."""
    return {
        tensor.name.removesuffix(STORED_SUFFIX): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in model.graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }


def _gru_biases(packed: Tensor) -> dict[str, Tensor]:
    """ONNX packs [direction, (input | hidden) x (update, reset, new)]; PyTorch has (reset, update, new) apart."""
    named = {}
    for suffix, row in zip(("", "_reverse"), packed, strict=True):
        for part, value in zip(("ih", "hh"), row.chunk(2), strict=True):
            update, reset, new = value.chunk(3)
            named[f"bias_{part}_l0{suffix}"] = torch.cat([reset, update, new])
    return named


def _from_graph(model: onnx.ModelProto, network: Hybrid) -> dict[str, Tensor]:
    """What can be found of the parameters of ``network`` in a graph that holds its own weights.

    The exporter keeps the names of all parameters but two kinds, which it folds into constants under names of its
    own in the order of the layers: the transposed matrices of linear layers, and the biases of each GRU.
    """
    wanted, stored = dict(network.named_parameters()), _stored(model)
    packed = (2, 6 * network.config.gru_hidden)
    nameless = [value for name, value in stored.items() if name not in wanted and value.ndim == 2]
    biases = [value for value in nameless if value.shape == packed]
    matrices = iter(value.T for value in nameless if value.shape != packed)
    for k, value in enumerate(biases[: len(network.recurrent)]):
        stored |= {f"recurrent.{k}.gru.{name}": bias for name, bias in _gru_biases(value).items()}
    for name, parameter in wanted.items():
        if name not in stored and parameter.ndim == 2:
            found = next((matrix for matrix in matrices if matrix.shape == parameter.shape), None)
            stored |= {name: found.contiguous()} if found is not None else {}
    return stored


def _weights(path: Path, network: Hybrid) -> dict[str, Tensor]:
    """The parameters of ``network`` out of the weights file beside a graph, or out of the graph."""
    model, shared = read_onnx(path), path.with_name(WEIGHTS_FILE)
    if shared.is_file():
        stored = {name: torch.from_numpy(value) for name, value in read_weights(network, shared).items()}
    else:
        stored = _from_graph(model, network)
    state: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        value = stored.get(name)
        if value is None or value.shape != parameter.shape:
            raise CheckpointError(f"{path} holds no {name} of shape {tuple(parameter.shape)}")
        state[name] = value
    return state


def read_network(path: Path, config: HybridConfig) -> Hybrid:
    """The served network of shape ``config`` whose weights the file holds; they are run on the same signals to know."""
    config = replace(config, auxiliary={})
    network = served_network(Hybrid(config), half=False)
    network.load_state_dict(_weights(path, network))
    compare(path, network, list(config.heads), {"ecg": probe(2, config.samples, config.leads)}, 1e-4)
    return network


def read_published(folder: Path) -> tuple[Hybrid, LabelSpace, ModelCard]:
    """The served network of a version's folder, the classes of its heads, and its card.

    Raises ``CheckpointError`` where the file is not the network its card describes.
    """
    card = load_card(folder / CARD_FILE)
    try:
        config = HybridConfig.from_dict(card.architecture.config)
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{folder / CARD_FILE} describes no hybrid network") from None
    network = read_network(folder / "model.onnx", config)
    space = LabelSpace(
        heads={head.output: tuple(s.code for s in head.classes) for head in card.heads},
        auxiliary={},
        positives={s.code: s.training_positives for s in card.statements},
    )
    return network, space, card


@torch.no_grad()
def trainable_network(
    served: Hybrid, signals: npt.NDArray[np.float32], auxiliary: dict[str, int] | None = None, batch: int = 64
) -> Hybrid:
    """The same function with batch normalisation after every convolution, its statistics those of ``signals``.

    Scale and shift undo the statistics, so the answers are the published ones, and the first training step finds
    batches normalised as it expects. Heads in ``auxiliary`` start at random.
    """
    units = {name: unit for name, unit in served.named_modules() if isinstance(unit, ConvUnit)}
    sums = {name: torch.zeros(3, unit.conv.out_channels, dtype=torch.float64) for name, unit in units.items()}
    handles = []
    for name, unit in units.items():

        def add(_: nn.Module, __: object, y: Tensor, total: Tensor = sums[name], conv: nn.Conv1d = unit.conv) -> None:
            assert conv.bias is not None  # noqa: S101  # folded
            values = (y - conv.bias[:, None]).double()
            total += torch.stack([values.sum((0, 2)), (values * values).sum((0, 2)), torch.full_like(total[2], 0)])
            total[2] += values.shape[0] * values.shape[2]

        handles.append(unit.conv.register_forward_hook(add))
    for start in range(0, len(signals), batch):
        served(torch.from_numpy(np.array(signals[start : start + batch])))
    for handle in handles:
        handle.remove()

    network = Hybrid(replace(served.config, auxiliary=auxiliary or {}))
    state = network.state_dict() | {k: v for k, v in served.state_dict().items() if not k.endswith("conv.bias")}
    for name, unit in units.items():
        total, conv = sums[name], unit.conv
        assert conv.bias is not None  # noqa: S101  # folded
        mean = total[0] / total[2]
        variance = (total[1] / total[2] - mean * mean).clamp(min=1e-8)
        state[f"{name}.norm.running_mean"], state[f"{name}.norm.running_var"] = mean.float(), variance.float()
        state[f"{name}.norm.weight"] = torch.sqrt(variance + 1e-5).float()
        state[f"{name}.norm.bias"] = (conv.bias + mean).float()
    network.load_state_dict(state)
    return network.eval()
