"""The converters for telephones and wearables, in an environment of their own.

Their packages pin what the workshop uses otherwise (pydantic, typing_extensions), so they live in ``.runtime/edge``:
a virtual environment that sees the workshop's packages and adds the converters' own. It is built on first use (about
1 GB) and asked through a process.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final

from export.errors import WorkshopError

__all__ = ["PINS", "default_edge_dir", "edge_python", "run_converter"]

PINS: Final = ("litert-torch==0.10.0", "coremltools==9.0")


def default_edge_dir() -> Path:
    """Beside the embedded Triton's environment, in the current directory."""
    return Path(".runtime", "edge").resolve()


def _call(command: list[str], what: str) -> str:
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        last = (result.stderr.strip() or result.stdout.strip() or f"exit {result.returncode}").splitlines()[-1]
        raise WorkshopError(f"{what} failed: {last}")
    return result.stdout


def edge_python(folder: Path | None = None, progress: Callable[[str], None] = lambda _: None) -> Path:
    """The interpreter of the converters' environment, which is built now if it is not there."""
    folder = folder or default_edge_dir()
    python, done = folder / "bin" / "python", folder / "pins.txt"
    if done.is_file() and done.read_text(encoding="utf-8") == "\n".join(PINS):
        return python
    progress(f"building {folder} ({', '.join(PINS)}; minutes, about 1 GB)")
    _call([sys.executable, "-m", "venv", "--clear", str(folder)], "creating the converters' environment")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    overlay = folder / "lib" / version / "site-packages" / "zz_workshop.pth"
    # Behind its own packages, so that the converters' pins win there and nowhere else.
    overlay.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    _call([str(python), "-m", "pip", "install", "--quiet", "--no-input", *PINS], f"installing {', '.join(PINS)}")
    done.write_text("\n".join(PINS), encoding="utf-8")
    return python


def run_converter(module: str, source: Path, out: Path, progress: Callable[[str], None] = lambda _: None) -> str:
    """Run ``python -m export.formats.MODULE SOURCE OUT`` in the environment; returns the line that it prints last."""
    python = edge_python(progress=progress)
    progress(f"converting {source} (minutes)")
    printed = _call([str(python), "-m", f"export.formats.{module}", str(source), str(out)], f"converting {source}")
    return printed.strip().splitlines()[-1]
