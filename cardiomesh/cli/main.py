"""``cardiomesh``: analyse ECGs, list models, run the embedded mesh.

Exit codes: 0 done, 1 unexpected, 2 bad input, 3 service unavailable.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich.console import Console

from cardiomesh.cli import archive, live, show, tape
from cardiomesh.cli.connection import GatewayOption, JsonOption, connect
from cardiomesh.cli.models import models
from cardiomesh.cli.watch import watch as keep_watch
from cardiomesh.client import METHODS, Explanation, InferenceMode, Setting
from cardiomesh.errors import (
    CardioMeshError,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    ResultMismatch,
    TooLarge,
    Unavailable,
)
from cardiomesh.language import Language
from cardiomesh.local import (
    Mesh,
    Restart,
    Step,
    default_runtime_dir,
    down,
    progress_table,
    status,
)
from cardiomesh.watch import Alarms, Baseline, Webhook

__all__ = ["app", "main"]

BAD_INPUT: Final = 2
UNAVAILABLE: Final = 3

app = typer.Typer(
    help="Serve and read 12-lead ECG models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)
app.add_typer(models, name="models")

RepositoryOption = Annotated[Path, typer.Option(help="Model repository that Triton serves.")]


@app.command()
def analyze(
    file: Annotated[Path, typer.Argument(help="DICOM file, WFDB header (.hea) or zip.")],
    model: Annotated[str, typer.Option(help="Model name; default: the gateway's.")] = "",
    as_json: JsonOption = False,
    measure: Annotated[bool, typer.Option("--measure", help="Also measure rate, intervals and axes.")] = False,
    explain: Annotated[str, typer.Option(metavar="CODE", help="Also explain this finding, e.g. MI.")] = "",
    methods: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="How to explain, separated by commas: " + ", ".join(METHODS), show_default="all"
        ),
    ] = "",
    setting: Annotated[
        str, typer.Option(help="Where the patient is seen: emergency, inpatient or ambulatory; moves thresholds.")
    ] = "",
    mode: Annotated[
        str, typer.Option(help="auto, fast or accurate: what matters more, where no model is named.")
    ] = "auto",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Another model may answer when the named one is away.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Write the 12-lead sheet here (.png, .svg or .pdf).")] = None,
    language: Annotated[Language, typer.Option(help="Language of tables and sheet.")] = "en",
    gateway: GatewayOption = "",
    timeout: Annotated[float, typer.Option(help="Deadline of each call, in seconds.")] = 30.0,
) -> None:
    """Analyse one ECG file."""
    with connect(gateway, timeout) as client:
        result = client.analyze(
            file=file,
            model=model,
            measure=measure or plot is not None,
            include_signal=plot is not None,
            setting=cast("Setting", setting),
            inference_mode=cast("InferenceMode", mode),
            allow_fallback=allow_fallback,
        )
        # The very version that answered is asked why, also when a newer one was published meanwhile.
        name, version = result.model.name, result.model.version
        why = Explanation()
        if explain:
            chosen = [part.strip() for part in methods.split(",") if part.strip()]
            why = client.explain(explain, file=file, model=name, model_version=version, methods=chosen)
    if plot is not None:
        from cardiomesh.cli.picture import draw  # matplotlib only where a picture is asked for

        draw(plot, file.name, result, why, language)
    if as_json:
        plain = result.to_dict() | ({"explanation": why.to_dict()} if explain else {})
        print(json.dumps(plain, ensure_ascii=False))
    else:
        show.answer(out, result, why, language)
        if plot is not None:
            out.print(f"{plot} ✓", style="dim", highlight=False)


@app.command(name="analyze-batch")
def analyze_batch(
    paths: Annotated[list[Path], typer.Argument(help="ECG files, and folders of them.")],
    model: Annotated[str, typer.Option(help="Model name; default: the gateway's.")] = "",
    measure: Annotated[bool, typer.Option("--measure", help="Also measure rate, intervals and axes.")] = False,
    to: Annotated[
        Path | None, typer.Option("--out", help="Write here, and leave out what an earlier run has settled here.")
    ] = None,
    gateway: GatewayOption = "",
) -> None:
    """Analyse an archive: one JSON line per file, in the order they are ready. One bad file never stops the rest."""
    files = archive.recordings_in(paths)
    with connect(gateway) as client, archive.opened(to) as (done, lines):
        tally = archive.analyze_archive(client, files, lines, err, done=done, model=model, measure=measure)
    if tally.failed or tally.refused:
        raise typer.Exit(UNAVAILABLE if tally.failed else BAD_INPUT)


@app.command(name="analyze-long")
def analyze_long(
    file: Annotated[Path, typer.Argument(help="DICOM, WFDB header or zip, ISHNE or EDF, of any length.")],
    model: Annotated[str, typer.Option(help="Model name; default: the gateway's.")] = "",
    stride: Annotated[float, typer.Option(help="Seconds from one ten-second window to the next.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, each window too.")] = False,
    language: Annotated[Language, typer.Option(help="Language of the summary.")] = "en",
    gateway: GatewayOption = "",
) -> None:
    """Analyse a long recording, such as a day's Holter tape, window by window."""
    with connect(gateway) as client:
        parts = client.analyze_long(file, model=model, stride=stride)
        if as_json:
            tape.write_long(parts, sys.stdout)
        else:
            tape.show_long(parts, out, err, language)


@app.command()
def monitor(
    file: Annotated[str, typer.Argument(help="An ECG file of at most a minute, or - for lines of numbers from stdin.")],
    speed: Annotated[float, typer.Option(min=0, help="Replay so many times faster; 0: as fast as it goes.")] = 1.0,
    repeat: Annotated[int, typer.Option(min=1, help="Replay so many times; windows over a seam hold a jump.")] = 1,
    stride: Annotated[float, typer.Option(help="Seconds from one ten-second window to the next.")] = 5.0,
    rate: Annotated[float | None, typer.Option(help="Samples per second of stdin without a time column.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Skip old windows instead of slowing the source down.")] = False,
    model: Annotated[str, typer.Option(help="Model name; default: the gateway's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    language: Annotated[Language, typer.Option(help="Language of the lines.")] = "en",
    gateway: GatewayOption = "",
) -> None:
    """Replay a recording as live leads, or take leads as they come: an answer to ten seconds every few seconds."""
    with connect(gateway) as client:
        if file == "-":
            source = live.from_lines(sys.stdin, rate)
        else:
            source = live.from_recording(client, Path(file), speed, repeat)
        stream = client.stream(
            source.sampling_rate,
            leads=source.leads,
            stride=stride,
            when_behind="skip" if skip else "wait",
            model=model,
        )
        parts = live.monitor(stream, source.chunks)
        if as_json:
            live.write_live(parts, sys.stdout)
        else:
            live.show_live(parts, out, language)


@app.command()
def up(
    model_repository: RepositoryOption = Path("model_repository"),
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready; stop it with down.")] = False,
    restart: Annotated[Restart, typer.Option(help="What is restarted when it dies.")] = Restart.BACKING,
) -> None:
    """Start the embedded mesh: Triton, Valkey and the three services, on loopback."""
    with progress_table(err) as progress:

        def told(step: Step) -> None:
            if step.name == "mesh" and step.state == "ready":
                step = replace(step, detail=show.addresses(mesh.addresses, mesh.api_key))
            progress(step)

        mesh = Mesh(model_repository, restart=restart, progress=told)
        if detach:
            mesh.start()
        else:
            mesh.run()


@app.command(name="down")
def down_command() -> None:
    """Stop the embedded mesh."""
    out.print("stopped" if down() else "no mesh is running here", highlight=False)


@app.command(name="status")
def status_command(as_json: JsonOption = False) -> None:
    """Say what of the embedded mesh runs, and where."""
    now = status()
    if as_json:
        print(json.dumps(now.to_json(), ensure_ascii=False))
    else:
        show.status(out, now, default_runtime_dir())
    if now.state == "stopped":
        raise typer.Exit(UNAVAILABLE)


@app.command()
def watch(
    interval: Annotated[
        float | None, typer.Option(min=1, help="Seconds between looks; without it there is one, for cron.")
    ] = None,
    webhook: Annotated[
        str, typer.Option(envvar="CARDIOMESH_WEBHOOK", help='URL that gets {"text": …} when something changes.')
    ] = "",
    baseline: Annotated[
        Path | None, typer.Option(help="File of earlier answers to the known ECG; learnt at first sight.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model name; default: the gateway's.")] = "",
    slower_than: Annotated[float, typer.Option(help="Milliseconds from which an analysis is too slow.")] = 2000.0,
    cache: Annotated[bool, typer.Option(help="Whether there should be a result cache.")] = True,
    as_json: JsonOption = False,
    gateway: GatewayOption = "",
    timeout: Annotated[float, typer.Option(help="Deadline of each call, in seconds.")] = 10.0,
) -> None:
    """Send a known ECG through the whole path; exit 3 when something is not well. Knocks as a clinician does."""
    alarms = Alarms(Webhook(webhook), after=1 if interval is None else 2) if webhook else None
    well = keep_watch(
        lambda: connect(gateway, timeout),
        Baseline(baseline),
        alarms,
        out,
        model=model,
        slower_than_ms=slower_than,
        with_cache=cache,
        interval_s=interval,
        as_json=as_json,
    )
    if not well:
        raise typer.Exit(UNAVAILABLE)


@app.command()
def demo(
    model_repository: RepositoryOption = Path("model_repository"),
    folder: Annotated[Path, typer.Option("--out", help="Folder for the picture.")] = Path("out"),
) -> None:
    """Start everything, read the real 12-lead DICOM ECG that comes with pydicom, draw it, stop."""
    from cardiomesh.cli.demo import run_demo

    run_demo(model_repository, folder, out, err)


def _exit_code(error: CardioMeshError) -> int:
    if isinstance(error, InvalidRequest | NotFound | TooLarge | ResultMismatch):
        return BAD_INPUT
    if isinstance(error, Unavailable | DeadlineExceeded | Overloaded):
        return UNAVAILABLE
    return 1


def _add_commands(asked: str) -> None:
    """Commands of installed services, loaded only when one is asked for or all are listed."""
    for entry in entry_points(group="cardiomesh.commands"):
        if asked in (entry.name, "--help", ""):
            command = entry.load()
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=entry.name)
            else:
                app.command(name=entry.name)(command)


def main() -> None:
    """The entry point: typed errors become one line and an exit code."""
    _add_commands(sys.argv[1] if len(sys.argv) > 1 else "")
    # gRPC's C core writes its own log lines over ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        app()
    except CardioMeshError as error:
        err.print(f"[bold red]{error.reason}[/] ", end="")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)  # one line, however narrow
        sys.exit(_exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
