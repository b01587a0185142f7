"""Reliability plots: what was said against what was true."""

from __future__ import annotations

from pathlib import Path

from export.calibration.reliability import Bin

__all__ = ["reliability_plot"]


def reliability_plot(path: Path, title: str, bins: dict[str, list[Bin]]) -> None:
    """A PNG with one panel per entry; bars at each point are the 95 % range of a frequency by chance alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(bins) // columns)
    figure = Figure(figsize=(9, 3.1 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    for place, (name, found) in enumerate(bins.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        said = [b.probability for b in found]
        chance = [1.96 * (b.probability * (1 - b.probability) / b.count) ** 0.5 for b in found]
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        axes.errorbar(said, said, yerr=chance, fmt="none", ecolor="0.75", elinewidth=4)
        axes.plot(said, [b.frequency for b in found], marker="o", markersize=3.5, linewidth=1, color="#1a4e8a")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=name)
        axes.set_xlabel("calibrated probability", fontsize=8)
        axes.set_ylabel("frequency", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
