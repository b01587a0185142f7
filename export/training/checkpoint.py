"""Checkpoints: written whole or not at all, read with weights only, refused when they hold what is not finite."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from export.architectures import CONFIGS, Hybrid, HybridConfig, named_config
from export.errors import CheckpointError
from export.training.labels import LabelSpace

__all__ = ["load_network", "read_checkpoint", "save_checkpoint", "save_network", "starting_config"]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write beside the place, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def save_network(path: Path, network: Hybrid, space: LabelSpace, origin: str) -> Path:
    """A checkpoint of a network that no training run made (pruned, or read back from a published file)."""
    state = network.state_dict()
    labels = {"heads": space.heads, "auxiliary": space.auxiliary, "positives": space.positives}
    save_checkpoint(path, {"config": network.config.as_dict(), "labels": labels, "average": state, "origin": origin})
    return path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that ``save_checkpoint`` wrote."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read: {reason}") from error
    if not isinstance(state, dict) or "config" not in state or "average" not in state:
        raise CheckpointError(f"{path} is no checkpoint of this workshop")
    return state


def load_network(path: Path) -> tuple[Hybrid, LabelSpace]:
    """The averaged network of a checkpoint, in evaluation mode, and the classes of its heads."""
    state = read_checkpoint(path)
    try:
        network = Hybrid(HybridConfig.from_dict(state["config"]))
        network.load_state_dict(state["average"])
        labels = state["labels"]
        space = LabelSpace(
            heads={name: tuple(codes) for name, codes in labels["heads"].items()},
            auxiliary={name: tuple(codes) for name, codes in labels["auxiliary"].items()},
            positives=dict(labels["positives"]),
        )
    except (RuntimeError, TypeError, KeyError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not fit its own configuration: {reason}") from error
    for name, value in network.state_dict().items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} holds values in {name} that are not finite")
    return network.eval(), space


def starting_config(name: str, initial: Path | None = None) -> HybridConfig:
    """The shape to train: that of a named model, or of a checkpoint whose network has no name of its own (pruned)."""
    if initial is None or name in CONFIGS:
        return named_config(name)
    return load_network(initial)[0].config
