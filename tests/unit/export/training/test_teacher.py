from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from export.architectures import Hybrid, HybridConfig
from export.errors import CheckpointError, DataError
from export.formats.published import read_published
from export.publishing.repository import versions
from export.training.checkpoint import load_network, save_checkpoint
from export.training.labels import LabelSpace, build_label_space
from export.training.loop import train
from export.training.ptbxl import Records
from export.training.settings import TrainingSettings
from export.training.teacher import Teacher, soft_targets

SPACE = LabelSpace(
    heads={"statements": ("NORM", "MI", "STTC", "CD", "HYP", "ABQRS", "IMI"), "rhythm": ("SR", "AFIB")},
    auxiliary={"rare": ("X",), "sex": ("female",), "age": ("age",)},
    positives={},
)


def _save(path: Path, network: Hybrid, space: LabelSpace = SPACE) -> Path:
    labels = {"heads": space.heads, "auxiliary": space.auxiliary, "positives": space.positives}
    save_checkpoint(
        path, {"config": network.config.as_dict(), "labels": labels, "average": network.state_dict(), "seed": 1}
    )
    return path


def _signals(count: int = 5) -> torch.Tensor:
    return 0.3 * torch.randn(count, 12, 1000, generator=torch.Generator().manual_seed(4))


def test_the_teacher_is_the_mean_of_its_networks_probabilities(tiny_network: Hybrid, tmp_path: Path) -> None:
    first = _save(tmp_path / "a.pt", tiny_network)
    with torch.no_grad():
        tiny_network.heads["rhythm"].bias.add_(1.0)
    second = _save(tmp_path / "b.pt", tiny_network)
    x = _signals()
    one, two = Teacher.open([first], SPACE)(x), Teacher.open([second], SPACE)(x)
    both = Teacher.open([first, second], SPACE)(x)
    assert not torch.allclose(one["rhythm"], two["rhythm"], atol=0.05)
    for name in SPACE.heads:
        torch.testing.assert_close(both[name], (one[name] + two[name]) / 2)
    with torch.no_grad():
        expected = torch.sigmoid(load_network(first)[0](x)[0])
    torch.testing.assert_close(one["statements"], expected)


def test_a_published_file_teaches_what_its_network_would() -> None:
    repository = Path(__file__).parents[4] / "model_repository" / "edge_optimized"
    folder = repository / str(versions(repository.parent, "edge_optimized")[-1])
    network, space, _ = read_published(folder)
    x = _signals(3)
    answer = Teacher.open([folder / "model.onnx"], space)(x)
    with torch.no_grad():
        expected = torch.sigmoid(network(x)[0])
    torch.testing.assert_close(answer["statements"], expected, rtol=0, atol=1e-4)


def test_a_teacher_of_other_classes_and_no_teacher_are_refused(tiny_network: Hybrid, tmp_path: Path) -> None:
    path = _save(tmp_path / "a.pt", tiny_network)
    other = LabelSpace(heads=SPACE.heads | {"rhythm": ("SR", "STACH")}, auxiliary={}, positives={})
    with pytest.raises(DataError, match="other classes of the head 'rhythm'"):
        Teacher.open([path], other)
    with pytest.raises(DataError, match="at least one network"):
        Teacher.open([], SPACE)
    with pytest.raises(DataError, match="does not exist"):
        Teacher.open([tmp_path / "none.onnx"], SPACE)
    with pytest.raises(CheckpointError, match="does not exist"):
        Teacher.open([tmp_path / "none.pt"], SPACE)


def test_soft_targets_lie_between_labels_and_teacher_and_leave_other_tasks_alone() -> None:
    labels = {"statements": torch.tensor([[0.0, 1.0]]), "age": torch.tensor([[float("nan")]])}
    mixed = soft_targets(labels, {"statements": torch.tensor([[0.5, 0.5]])}, 0.4)
    torch.testing.assert_close(mixed["statements"], torch.tensor([[0.2, 0.8]]))
    assert mixed["age"] is labels["age"]


def test_a_student_comes_to_answer_as_its_teacher_does(
    tiny_config: HybridConfig, records: Records, tmp_path: Path
) -> None:
    """With the teacher alone in the target and a teacher that calls everything NORM, so does the student."""
    space = build_label_space(records.select(tuple(range(1, 9))))
    served, auxiliary = space.sizes()
    torch.manual_seed(2)
    network = Hybrid(HybridConfig.from_dict(tiny_config.as_dict() | {"heads": served, "auxiliary": auxiliary}))
    with torch.no_grad():
        network.heads["statements"].weight.zero_()
        network.heads["statements"].bias.fill_(-6.0)[0] = 6.0
    path = _save(tmp_path / "teacher.pt", network, space)
    settings = TrainingSettings(epochs=2, batch=20, learning_rate=1e-2, teacher_weight=1.0)
    student, _ = load_network(train("tiny", tiny_config, records, settings, tmp_path / "run", [path], progress=False))
    with torch.no_grad():
        answer = torch.sigmoid(student(torch.from_numpy(records.signals[160:].copy()))[0])
    assert float(answer[:, 0].min()) > 0.7
    assert float(answer[:, 1:].max()) < 0.3
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["teacher"] == [str(path)]
