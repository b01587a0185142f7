"""The committed stubs are what the protos say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_stubs_do_not_drift() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "protos" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_message_and_field_is_documented() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "buf", "lint"], cwd=ROOT / "protos", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
