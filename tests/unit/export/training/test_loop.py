from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from export.architectures import HybridConfig
from export.errors import CheckpointError, DivergenceError
from export.training.checkpoint import load_network, read_checkpoint
from export.training.loop import macro_auc, predict, train
from export.training.ptbxl import Records
from export.training.settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=2, batch=20, learning_rate=3e-3)


@pytest.fixture
def trained(tiny_config: HybridConfig, records: Records, tmp_path: Path) -> Path:
    return train("tiny", tiny_config, records, SETTINGS, tmp_path / "a", progress=False)


def test_writes_a_checkpoint_and_a_record(trained: Path, records: Records) -> None:
    network, space = load_network(trained)
    logits = predict(network, records.signals)
    assert logits["statements"].shape == (180, len(space.heads["statements"]))
    record = json.loads((trained.parent / "record.json").read_text())
    assert [row["epoch"] for row in record["epochs"]] == [1, 2]
    assert record["data_sha256"] == records.digest()


def test_an_interrupted_run_ends_where_an_unbroken_one_does(
    trained: Path,
    tiny_config: HybridConfig,
    records: Records,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from export.training import loop

    real = loop._epoch

    def interrupted(*arguments: object) -> float:
        if arguments[6] == 1:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("tiny", tiny_config, records, SETTINGS, tmp_path / "b", progress=False)
    monkeypatch.setattr(loop, "_epoch", real)
    resumed = train("tiny", tiny_config, records, SETTINGS, tmp_path / "b", progress=False)
    unbroken, mended = read_checkpoint(trained)["average"], read_checkpoint(resumed)["average"]
    assert all(torch.equal(value, mended[name]) for name, value in unbroken.items())


def test_a_run_folder_of_another_seed_is_refused(trained: Path, tiny_config: HybridConfig, records: Records) -> None:
    from dataclasses import replace

    with pytest.raises(CheckpointError, match="another configuration"):
        train("tiny", tiny_config, records, replace(SETTINGS, seed=2), trained.parent, progress=False)
    with pytest.raises(CheckpointError, match="another number of steps"):
        train("tiny", tiny_config, records, replace(SETTINGS, epochs=3), trained.parent, progress=False)


def test_a_run_whose_files_are_torn_does_not_go_on(trained: Path, tiny_config: HybridConfig, records: Records) -> None:
    record = trained.parent / "record.json"
    record.write_text(record.read_text()[:100])
    with pytest.raises(CheckpointError, match="holds no run that can go on"):
        train("tiny", tiny_config, records, SETTINGS, trained.parent, progress=False)
    record.unlink()
    with pytest.raises(CheckpointError, match="holds no run that can go on"):
        train("tiny", tiny_config, records, SETTINGS, trained.parent, progress=False)
    trained.write_bytes(trained.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt cannot be read"):
        train("tiny", tiny_config, records, SETTINGS, trained.parent, progress=False)


def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_last_checkpoint(
    tiny_config: HybridConfig, records: Records, tmp_path: Path
) -> None:
    from dataclasses import replace

    signals = records.signals.copy()
    signals[7, 3, 100] = np.nan
    records = replace(records, signals=signals)
    with pytest.raises(DivergenceError, match=r"step \d of epoch 1; try a smaller --learning-rate"):
        train("tiny", tiny_config, records, SETTINGS, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_training_in_bfloat16_keeps_float32_weights_and_the_same_course(
    trained: Path, tiny_config: HybridConfig, records: Records, tmp_path: Path
) -> None:
    from dataclasses import replace

    half = train("tiny", tiny_config, records, replace(SETTINGS, precision="bfloat16"), tmp_path / "b", progress=False)
    weights = read_checkpoint(half)["average"]
    assert all(v.dtype == torch.float32 for v in weights.values() if v.is_floating_point())
    losses = [json.loads((p.parent / "record.json").read_text())["epochs"][1]["loss"] for p in (trained, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_broken_checkpoints_are_one_clear_error(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_network(tmp_path / "none.pt")
    torn = tmp_path / "torn.pt"
    torn.write_bytes(trained.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_network(torn)
    state = read_checkpoint(trained)
    state["average"]["embed.weight"][0, 0] = float("nan")
    poisoned = tmp_path / "nan.pt"
    torch.save(state, poisoned)
    with pytest.raises(CheckpointError, match=r"embed\.weight that are not finite"):
        load_network(poisoned)


def test_macro_auc_leaves_out_classes_with_one_outcome() -> None:
    truth = np.array([[0, 1], [1, 1], [0, 1]], dtype=np.float32)
    assert macro_auc(truth, np.array([[0.1, 0.5], [0.9, 0.5], [0.2, 0.5]], dtype=np.float32)) == 1.0


def test_fine_tuning_starts_from_the_given_weights(
    trained: Path, tiny_config: HybridConfig, records: Records, tmp_path: Path
) -> None:
    from dataclasses import replace

    still = replace(SETTINGS, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    tuned = train("tiny", tiny_config, records, still, tmp_path / "c", progress=False, initial=trained)
    before, after = read_checkpoint(trained)["average"], read_checkpoint(tuned)["average"]
    assert torch.allclose(before["embed.weight"], after["embed.weight"], atol=1e-6)
    other = replace(tiny_config, growth=8)
    with pytest.raises(CheckpointError, match="another network"):
        train("tiny", other, records, still, tmp_path / "d", progress=False, initial=trained)


def test_a_larger_network_grows_on_a_smaller_ones_convolutions(
    trained: Path, tiny_config: HybridConfig, records: Records, tmp_path: Path
) -> None:
    from dataclasses import replace

    still = replace(SETTINGS, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    wider = replace(tiny_config, gru_hidden=16)
    grown = train("tiny", wider, records, still, tmp_path / "c", progress=False, features=trained)
    before, after = read_checkpoint(trained)["average"], read_checkpoint(grown)["average"]
    assert torch.allclose(before["features.0.conv.weight"], after["features.0.conv.weight"], atol=1e-6)
    assert before["embed.weight"].shape != after["embed.weight"].shape
    with pytest.raises(CheckpointError, match="other convolutions"):
        train("tiny", replace(tiny_config, growth=8), records, still, tmp_path / "d", progress=False, features=trained)
