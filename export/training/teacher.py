"""Distillation by function matching: the teacher answers the very signals, augmented and mixed, that the student sees.

Beyer et al., Knowledge distillation: a good teacher is patient and consistent, CVPR 2022. The teacher is the mean of
any number of trained networks: checkpoints of this workshop, or published ONNX files, whose card says their classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cardiomesh.cards import CARD_FILE, load_card
from export.errors import DataError
from export.training.checkpoint import load_network
from export.training.labels import LabelSpace
from export.validation.scoring import OnnxModel

__all__ = ["Teacher", "soft_targets"]

Member = Callable[[Tensor], dict[str, Tensor]]


def _from_checkpoint(path: Path, device: torch.device, autocast: bool) -> tuple[Member, Mapping[str, tuple[str, ...]]]:
    network, space = load_network(path)
    network.to(device)

    def answer(x: Tensor) -> dict[str, Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            logits = network(x)
        return dict(zip(network.config.heads, (value.float() for value in logits), strict=True))

    return answer, space.heads


def _from_onnx(path: Path, device: torch.device) -> tuple[Member, Mapping[str, tuple[str, ...]]]:
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    card = load_card(path.parent / CARD_FILE)
    model = OnnxModel.open(path)

    def answer(x: Tensor) -> dict[str, Tensor]:
        logits = model.logits(x.cpu().numpy(), batch=len(x))
        return {name: torch.from_numpy(value).to(device) for name, value in logits.items()}

    return answer, {head.output: tuple(c.code for c in head.classes) for head in card.heads}


@dataclass(frozen=True)
class Teacher:
    """The mean of some networks' probabilities."""

    members: tuple[Member, ...]
    #: Head → its classes, in order.
    heads: Mapping[str, tuple[str, ...]]

    @classmethod
    def open(
        cls, sources: Sequence[Path], space: LabelSpace, device: torch.device | str = "cpu", autocast: bool = False
    ) -> Teacher:
        """Networks from ``.pt`` checkpoints and ``.onnx`` files; their classes must be those of ``space``."""
        if not sources:
            raise DataError("a teacher needs at least one network")
        members = []
        for path in sources:
            place = torch.device(device)
            if path.suffix == ".onnx":
                member, heads = _from_onnx(path, place)
            else:
                member, heads = _from_checkpoint(path, place, autocast)
            for name, codes in space.heads.items():
                if heads.get(name) != codes:
                    raise DataError(f"{path} answers for other classes of the head {name!r} than the student learns")
            members.append(member)
        return cls(tuple(members), space.heads)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Probabilities [B, classes] of each head for signals [B, 12, 1000] in millivolts."""
        answers = [member(x) for member in self.members]
        return {name: torch.stack([torch.sigmoid(a[name]) for a in answers]).mean(0) for name in self.heads}


def soft_targets(labels: Mapping[str, Tensor], answers: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """(1 - weight) · labels + weight · the teacher's probabilities, where the teacher has the head."""
    return {
        name: torch.lerp(value, answers[name], weight) if name in answers else value for name, value in labels.items()
    }
