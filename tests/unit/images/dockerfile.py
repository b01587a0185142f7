"""Just enough of Docker's builder to run our Dockerfiles without Docker.

Stages become folders: absolute paths that a stage writes to are moved below its folder, RUN runs in a plain shell
with those paths replaced, COPY copies. What only an engine can do (base images, users, labels) is parsed, not done.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Paths that our Dockerfiles write to; longest first.
WRITTEN = ("/model_repository", "/opt/venv", "/build")


@dataclass(frozen=True)
class Instruction:
    name: str
    arguments: str


@dataclass
class Stage:
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [i.arguments for i in self.instructions if i.name == name]

    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.all("ENV"))


def instructions(file: Path) -> Iterator[Instruction]:
    logical = re.sub(r"\\\n", " ", "\n".join(_without_comments(file.read_text(encoding="utf-8"))))
    for line in logical.splitlines():
        if line.strip():
            name, _, arguments = line.strip().partition(" ")
            yield Instruction(name.upper(), re.sub(r"\s+", " ", arguments.strip()))


def _without_comments(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if not line.lstrip().startswith("#"))


def parse(file: Path) -> dict[str, Stage]:
    """Stages by name; the last one is called ``""``."""
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    current: Stage | None = None
    for instruction in instructions(file):
        if instruction.name == "ARG" and current is None:
            name, _, value = instruction.arguments.partition("=")
            arguments[name] = value
        elif instruction.name == "FROM":
            base, _, name = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], instruction.arguments).partition(" AS ")
            current = stages[name] = Stage(base)
        elif current is None:
            raise ValueError(f"{instruction.name} before FROM")
        else:
            current.instructions.append(instruction)
    return stages


class Builder:
    """Runs the stages below a folder."""

    def __init__(self, context: Path, folder: Path, python: Path) -> None:
        self._context, self._folder, self._python = context, folder, python

    def place(self, path: str, stage: str) -> Path:
        """Where an absolute path of a stage lies here."""
        return self._folder / (stage or "final") / path.lstrip("/")

    def _here(self, text: str, stage: str) -> str:
        for path in WRITTEN:
            text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?![\w-])", str(self.place(path, stage)), text)
        return text

    def run(self, stages: dict[str, Stage]) -> None:
        """Build them all, in order."""
        for name, stage in stages.items():
            directory = "/"
            for instruction in stage.instructions:
                if instruction.name == "WORKDIR":
                    directory = instruction.arguments
                    if directory in WRITTEN:
                        self.place(directory, name).mkdir(parents=True, exist_ok=True)
                elif instruction.name == "COPY":
                    self._copy(instruction.arguments, directory, name)
                elif instruction.name == "RUN":
                    self._shell(instruction.arguments, directory, name)

    def _copy(self, arguments: str, directory: str, stage: str) -> None:
        words = shlex.split(arguments)
        source = self._context
        absolute = ""
        if words[0].startswith("--from="):
            absolute = words.pop(0).partition("=")[2]
        *sources, target = words
        base = self.place(directory, stage)
        destination = self.place(target, stage) if target.startswith("/") else (base / target)
        for name in sources:
            found = self.place(name, absolute) if absolute else source / name
            if found.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, destination, dirs_exist_ok=True, symlinks=True, ignore=ignore)
            else:
                into = destination / name if target.endswith("/") or len(sources) > 1 else destination
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _shell(self, command: str, directory: str, stage: str) -> None:
        # "python" is the base image's; here it is the one that runs the tests.
        shims = self._folder / "bin"
        shims.mkdir(parents=True, exist_ok=True)
        if not (shims / "python").exists():
            (shims / "python").symlink_to(self._python)
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
        done = subprocess.run(
            ["sh", "-c", self._here(command, stage)],
            cwd=self.place(directory, stage),
            env=kept | {"PATH": f"{shims}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
