"""What a shape of the network costs: parameters by part, CPU time of training and of the served graph.

Prints one Markdown row per shape: the three named ones, and shapes of about hybrid_full's size that were weighed
against it. Process CPU time on one thread (``time.process_time``): the fastest of three training steps of 32
recordings, scaled to one pass over the 2,331 training recordings used here, and the median of twelve calls of the
ONNX file with 16 recordings. The weights are random, which costs the same. Run by
``python benchmarks/architectures.py``.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import torch  # noqa: E402  after the thread limits

from export.architectures import CONFIGS, Hybrid, HybridConfig, trainable_parameters  # noqa: E402
from export.architectures.served import served_network  # noqa: E402
from export.formats.onnx import export_network  # noqa: E402
from export.training.losses import multi_task_loss  # noqa: E402
from export.training.settings import TrainingSettings  # noqa: E402
from export.validation.scoring import OnnxModel  # noqa: E402

RECORDS, BATCH, SERVED_BATCH = 2331, 32, 16
AUXILIARY = {"rare": 12, "sex": 1, "age": 1}
FULL = CONFIGS["hybrid_full"]
SHAPES = {
    **CONFIGS,
    "hybrid_full, blocks 6-12-8": replace(FULL, dense_layers=(6, 12, 8)),
    "hybrid_full, 25 tokens": replace(FULL, token_pool=2),
}


def cpu_seconds(work: Callable[[], object], runs: int) -> list[float]:
    """CPU time of each of some runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return seconds


def training_seconds(network: Hybrid, precision: torch.dtype) -> float:
    """CPU seconds of one epoch."""
    random = torch.Generator().manual_seed(1)
    config, settings = network.config, TrainingSettings()
    x = 0.3 * torch.randn(BATCH, config.leads, config.samples, generator=random)
    heads = {**config.heads, **config.auxiliary}
    y = {name: (torch.rand(BATCH, n, generator=random) < 0.1).float() for name, n in heads.items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            outputs = network.training_outputs(x)
        loss = multi_task_loss({name: value.float() for name, value in outputs.items()}, y, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return min(cpu_seconds(step, 3)) * -(-RECORDS // BATCH)


def served_per_second(network: Hybrid) -> float:
    """Recordings per CPU second through ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_network(served_network(network), path, limit=1e-2)
        model = OnnxModel.open(path)
        signals = (0.3 * torch.randn(SERVED_BATCH, network.config.leads, network.config.samples)).numpy()
        return SERVED_BATCH / statistics.median(cpu_seconds(lambda: model.logits(signals), 12))


def row(name: str, config: HybridConfig) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    network = Hybrid(replace(config, auxiliary=AUXILIARY))
    parts = (network.features, network.recurrent, network.encoder)
    sizes = [sum(p.numel() for p in part.parameters()) / 1e6 for part in parts]
    total = trainable_parameters(network) / 1e6
    wide, half = training_seconds(network, torch.float32), training_seconds(network, torch.bfloat16)
    return (
        f"| {name} | {total:.2f} M | {' / '.join(f'{size:.2f}' for size in sizes)} | {wide:.0f} | {half:.0f} "
        f"| {served_per_second(network):.0f} |"
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| shape | parameters | CNN / GRU / Transformer (M) | CPU s per epoch | in bfloat16 | served ECG per CPU s |")
    print("|---|---|---|---|---|---|")
    for name, config in SHAPES.items():
        print(row(name, config), flush=True)


if __name__ == "__main__":
    main()
