"""What a person sees while the mesh starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

__all__ = ["Progress", "Step", "progress_table"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the runtime environment, a child, or the mesh as a whole (``mesh``)."""

    name: str
    state: str
    seconds: float = 0.0
    detail: str = ""


#: Hears of every change.
Progress = Callable[[Step], None]

_MARKS = {
    "ready": "[green]✓[/]",
    "done": "[green]✓[/]",
    "starting": "[cyan]…[/]",
    "restarting": "[yellow]↻[/]",
    "failed": "[red]✗[/]",
}


@contextmanager
def progress_table(console: Console) -> Iterator[Progress]:
    """A callback that draws the steps: in place on a terminal, else one line per change."""
    steps: dict[str, Step] = {}

    def table() -> Table:
        grid = Table.grid(padding=(0, 2))
        for step in steps.values():
            seconds = f"{step.seconds:.1f} s" if step.seconds else ""
            grid.add_row(_MARKS.get(step.state, "·"), step.name, step.state, seconds, f"[dim]{step.detail}[/]")
        return grid

    if not console.is_terminal:
        yield lambda step: console.print(
            f"{step.name}: {step.state}"
            + (f" ({step.seconds:.1f} s)" if step.seconds else "")
            + (f" {step.detail}" if step.detail else ""),
            markup=False,
            highlight=False,
        )
        return
    with Live(table(), console=console, refresh_per_second=8) as live:

        def show(step: Step) -> None:
            steps[step.name] = step
            live.update(table())

        yield show
