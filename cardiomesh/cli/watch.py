"""``cardiomesh watch``: look at a mesh once, for cron, or again and again, with alarms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from cardiomesh.client import Client
from cardiomesh.watch import Alarms, Baseline, Report, look

__all__ = ["watch"]


def watch(
    connect: Callable[[], Client],
    baseline: Baseline,
    alarms: Alarms | None,
    out: Console,
    *,
    model: str,
    slower_than_ms: float,
    with_cache: bool,
    interval_s: float | None,
    as_json: bool,
) -> bool:
    """Whether the last look was good. Without an interval it is the only one."""
    while True:
        with connect() as client:  # anew each time: a caller who comes fresh must get in, too
            report = look(client, baseline, model=model, slower_than_ms=slower_than_ms, with_cache=with_cache)
        if as_json:
            print(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds")} | report.to_dict()), flush=True)
        else:
            _show(out, report)
        if alarms is not None:
            alarms.take(report)
        if interval_s is None:
            return report.ok
        time.sleep(interval_s)


def _show(out: Console, report: Report) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in report.checks:
        mark = "[green]✓[/]" if check.ok else "[bold red]✗[/]"
        table.add_row(mark, check.name, f"{check.milliseconds:.0f} ms", check.seen or check.wrong)
    out.print(table)
