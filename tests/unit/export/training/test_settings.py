from __future__ import annotations

import pytest
import torch

from export.errors import WorkshopError
from export.training.settings import choose_device, fastest_precision, settings_for


def test_a_gpu_is_used_where_there_is_one_and_never_imagined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == "cpu"
    with pytest.raises(WorkshopError, match="PyTorch finds no GPU here"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == "cuda"
    assert choose_device("cpu") == "cpu"


def test_half_the_bits_only_where_the_processor_multiplies_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert fastest_precision("cpu") == "float32"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert fastest_precision("cpu") == "bfloat16"


def test_what_is_asked_for_goes_before_what_a_model_is_used_to() -> None:
    assert settings_for("hybrid_full").epochs == 30
    assert settings_for("hybrid_full", epochs=3, learning_rate=None).epochs == 3
    assert settings_for("hybrid_full", learning_rate=None).learning_rate == 1e-3
