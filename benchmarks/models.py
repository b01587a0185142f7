"""What each published model costs on this CPU: latency by batch and by length, throughput, size, memory.

``make bench-models`` prints the table of the user's guide in Markdown. Every model computes on one thread; the
times are CPU time per call, which is its latency on a core of its own. Models are measured in turn, round after round,
so that whatever else the machine does falls on all of them. INT8 forms that are not published are built here, on noise:
ranges change what is answered, not what it costs. What is built is kept in ``runs/bench-models`` for the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from export.architectures import Hybrid, HybridConfig
from export.architectures.served import served_network
from export.compression.quantise import MODEL_FILE, calibrate, quantise
from export.errors import WorkshopError
from export.formats.onnx import export_network
from export.formats.published import read_published
from export.publishing.repository import file_digest, newest_folder
from export.validation.scoring import OnnxModel, open_model

BATCHES: Final = (1, 8, 16, 32)
LENGTHS: Final = (1000, 2500, 5000)
NETWORKS: Final = ("hybrid_full", "hybrid_full_pruned", "hybrid_mobile", "edge_optimized")
ENSEMBLE: Final = "ensemble"
_WARM_UP: Final = 3

Run = Callable[[np.ndarray], object]


@dataclass
class Row:
    """One line of the table; times in milliseconds of CPU per call."""

    name: str
    parameters: int | None
    megabytes: float
    peak_megabytes: float | None = None
    milliseconds: dict[int, float] = field(default_factory=dict)
    length_milliseconds: dict[int, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Recordings per second and core at the largest batch."""
        return 1000 * BATCHES[-1] / self.milliseconds[BATCHES[-1]]


def signals(batch: int, samples: int = 1000) -> np.ndarray:
    """Noise of ECG-like amplitude: float32 [batch, 12, samples]."""
    return 0.3 * np.random.default_rng(batch).standard_normal((batch, 12, samples)).astype(np.float32)


def interleaved(runs: Mapping[str, Run], inputs: np.ndarray, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds per call of each, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + _WARM_UP):
        for name, run in runs.items():
            began = time.process_time()
            run(inputs)
            if turn >= _WARM_UP:
                times[name].append(1000 * (time.process_time() - began))
    return {name: float(np.median(values)) for name, values in times.items()}


def disk(*folders: Path) -> float:
    """Megabytes of graphs and weights in some version folders."""
    return sum(p.stat().st_size for f in folders for p in f.iterdir() if p.suffix in (".onnx", ".bin")) / 1e6


#: A process that loads nothing but the runtime, so that what it grows by is the model's.
_PEAK: Final = """
import sys
import numpy, onnxruntime
def kilobytes(what):  # this program's own: getrusage would tell the starting process's peak
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
before = kilobytes("VmRSS")
ecg = numpy.zeros((int(sys.argv[1]), 12, 1000), numpy.float32)
sessions = [onnxruntime.InferenceSession(p, options, providers=["CPUExecutionProvider"]) for p in sys.argv[2:]]
for session in sessions:
    session.run(None, {"ecg": ecg})
print((kilobytes("VmHWM") - before) * 1024 / 1e6)
"""


def peak(models: list[Path]) -> float:
    """Megabytes that loading the files and answering a batch of 32 adds to a fresh process at its peak."""
    command = [sys.executable, "-c", _PEAK, str(BATCHES[-1]), *map(str, models)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def kept(scratch: Path, source: Path, what: str) -> Path:
    """Where a file made from ``source`` lies; another source, another place."""
    digests = [file_digest(p) for p in sorted(source.parent.iterdir()) if p.suffix in (".onnx", ".bin")]
    return scratch / f"{source.parent.parent.name}-{what}-{'-'.join(d[:8] for d in digests)}" / MODEL_FILE


def integer_form(source: Path, scratch: Path) -> Path:
    """The INT8 form of a graph, calibrated on noise."""
    path = kept(scratch, source, "int8")
    if not path.is_file():
        quantise(source, calibrate(source, signals(32), "noise"), path.parent)
    return path


def longer(folder: Path, samples: int, scratch: Path) -> tuple[int, Path]:
    """The same weights for recordings of about ``samples``: the nearest length whose every division is exact."""
    config = HybridConfig.from_dict(load_card(folder / CARD_FILE).architecture.config)
    step = config.stem_stride * 2 ** (len(config.dense_layers) - 1) * config.token_pool
    exact = samples // step * step
    path = kept(scratch, folder / MODEL_FILE, str(exact))
    if not path.is_file():
        served = read_published(folder)[0]
        other = served_network(Hybrid(replace(served.config, samples=exact)), half=False)
        other.load_state_dict(served.state_dict())
        export_network(other, path)
    return exact, path


def session_run(path: Path) -> Run:
    """One call of a graph."""
    session = OnnxModel.open(path).session
    names = [o.name for o in session.get_outputs()]
    return lambda ecg: session.run(names, {"ecg": ecg})


def measure(
    repository: Path, names: tuple[str, ...], rounds: int, lengths: tuple[int, ...], scratch: Path
) -> list[Row]:
    """Every published network, its INT8 form, and the ensemble."""
    rows: dict[str, Row] = {}
    runs: dict[str, Run] = {}
    by_length: dict[int, dict[str, tuple[int, Run]]] = {n: {} for n in lengths}
    cards: dict[str, tuple[Path, ModelCard]] = {}
    for name in names:
        try:
            folder = newest_folder(repository, name)
        except WorkshopError:
            print(f"{name} is not published: left out", file=sys.stderr)
            continue
        cards[name] = (folder, load_card(folder / CARD_FILE))
    for name, (folder, card) in cards.items():
        if name == ENSEMBLE:
            continue
        files = {name: folder / MODEL_FILE}
        published = repository / f"{name}_int8"
        if published.is_dir():
            files[f"{name} INT8"] = newest_folder(repository, f"{name}_int8") / MODEL_FILE
        else:
            files[f"{name} INT8"] = integer_form(folder / MODEL_FILE, scratch)
        for label, path in files.items():
            print(f"loading {label}", file=sys.stderr)
            rows[label] = Row(label, card.architecture.parameters, disk(path.parent), peak([path]))
            runs[label] = session_run(path)
        for length in lengths:
            if length == card.input.samples:
                by_length[length][name] = (length, runs[name])
            else:
                print(f"making {name} for {length} samples", file=sys.stderr)
                exact, path = longer(folder, length, scratch)
                by_length[length][name] = (exact, session_run(path))
    if ENSEMBLE in cards:
        _, card = cards[ENSEMBLE]
        members = [newest for key in card.artifacts if (newest := repository / key).name == MODEL_FILE]
        model: Any = open_model(repository, card)
        rows[ENSEMBLE] = Row(ENSEMBLE, None, disk(*{m.parent for m in members}), peak(network_files(members)))
        runs[ENSEMBLE] = lambda ecg: model.logits(ecg)
    for batch in BATCHES:
        print(f"measuring batches of {batch}", file=sys.stderr)
        for name, value in interleaved(runs, signals(batch), rounds).items():
            rows[name].milliseconds[batch] = round(value, 2)
    for length, entries in by_length.items():
        print(f"measuring {length} samples", file=sys.stderr)
        for exact in sorted({e for e, _ in entries.values()}):
            chosen = {name: run for name, (e, run) in entries.items() if e == exact}
            for name, value in interleaved(chosen, signals(1, exact), rounds).items():
                rows[name].length_milliseconds[exact] = round(value, 2)
    return list(rows.values())


def network_files(paths: list[Path]) -> list[Path]:
    """Those of some graphs that read an ECG: not the one that only combines."""
    return [p for p in paths if not p.parent.parent.name.endswith("_combination")]


def markdown(rows: list[Row]) -> str:
    """The table, and what the guide claims beside what was measured."""
    lines = [
        "| model | parameters | files, MB | peak memory, MB | "
        + " | ".join(f"batch {b}, ms" for b in BATCHES)
        + " | ECG/s per core | latency of its FP32 form |",
        "|---" * (7 + len(BATCHES) - 1) + "|",
    ]
    known = {row.name: row for row in rows}
    for row in rows:
        base = known.get(row.name.removesuffix(" INT8"), row)
        if row.name == "hybrid_full_pruned" and "hybrid_full" in known:
            base = known["hybrid_full"]
        ratios = sorted(row.milliseconds[b] / base.milliseconds[b] for b in BATCHES)
        ratio = "" if base is row else f"{ratios[0]:.2f}-{ratios[-1]:.2f} of {base.name}"
        parameters = f"{row.parameters / 1e6:.2f} M" if row.parameters else "its members'"
        times = " | ".join(f"{row.milliseconds[b]:.1f}" for b in BATCHES)
        lines.append(
            f"| {row.name} | {parameters} | {row.megabytes:.1f} | {row.peak_megabytes:.0f} | {times} "
            f"| {row.per_second:.0f} | {ratio} |"
        )
    long = [row for row in rows if row.length_milliseconds]
    lines += ["", "Batch 1, CPU ms by number of samples (nearest length whose divisions are exact):", ""]
    for row in long:
        lines.append(f"- {row.name}: " + ", ".join(f"{n}: {ms:.1f}" for n, ms in row.length_milliseconds.items()))
    return "\n".join(lines)


def machine() -> str:
    """Processor, runtime and their versions."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.machine()}, one thread, ONNX Runtime {onnxruntime.__version__}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--length", type=int, action="append", help="samples; several times (default: 1000 2500 5000)")
    parser.add_argument("--scratch", type=Path, default=Path("runs/bench-models"), help="where built files are kept")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--model", action="append", help="published model; several times (default: all)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    names = tuple(options.model or (*NETWORKS, ENSEMBLE))
    rows = measure(options.repository, names, options.rounds, tuple(options.length or LENGTHS), options.scratch)
    print(f"{machine()}; median of {options.rounds} rounds, models in turn\n")
    print(markdown(rows))
    if options.json:
        values = {"machine": machine(), "rounds": options.rounds, "models": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
