"""Commands in docs/operations.md: marked, and made of programs, targets and flags that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from helm.tools.binaries import find
from helm.tools.render import PROFILES, template

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def _blocks() -> list[str]:
    """Lines of the shell blocks, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL)
    return [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines() if line.strip()]


def _commands(program: str) -> list[list[str]]:
    inline = [text for text in re.findall(r"`([^`\n]+)`", RUNBOOK) if text.startswith(f"{program} ")]
    lines = [line for line in _blocks() if line.startswith(f"{program} ")]
    return [shlex.split(line, comments=True) for line in [*inline, *lines]]


@cache
def _help(program: str, *subcommand: str) -> str:
    found = find(program)
    if found is None:
        pytest.skip(f"needs {program}: make helm-tools")
    return subprocess.run([str(found), *subcommand, "--help"], capture_output=True, text=True, check=True).stdout


def test_every_line_says_whether_it_was_run_here() -> None:
    assert len(_blocks()) > 10
    for line in _blocks():
        assert "[run]" in line or "[cluster]" in line, line


@pytest.mark.parametrize("program", ["helm", "kubectl"])
def test_programs_know_the_subcommands_and_flags(program: str) -> None:
    commands = _commands(program)
    assert len(commands) >= 5
    for words in commands:
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        subcommand = words[1:3] if words[1] in ("create", "rollout") else words[1:2]
        text = _help(program, *subcommand)
        if program == "kubectl":
            text += subprocess.run([str(find(program)), "options"], capture_output=True, text=True, check=True).stdout
        for flag in flags:
            assert re.search(rf"{flag}\b", text), f"{' '.join(words)}: no {flag}"


def test_files_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", RUNBOOK):
        assert (ROOT / "docs" / target).exists(), target
    for words in [*_commands("helm"), *_commands("docker")]:
        for word in words:
            if word.startswith(("helm/", "gateway/", "deploy/")):
                assert (ROOT / word).exists(), word


def test_what_is_marked_as_run_is_run(tmp_path: Path) -> None:
    """The short ones here; `make helm-check` and the images' steps have tests of their own."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.pbtxt").write_text("")
    command = [sys.executable, "-m", "helm.tools.models_manifest", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
    if find("helm") is not None:
        assert "kind: Deployment" in template(profile="cpu")
    assert {f"values-{p}.yaml" for p in PROFILES} >= set(re.findall(r"values-[a-z0-9-]+\.yaml", RUNBOOK))
