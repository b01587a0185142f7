"""Generate from the protos what is committed of them: the Python stubs and the OpenAPI document.

``python protos/generate.py`` writes ``cardiomesh/_proto`` and ``gateway/http/openapi.json``; ``--check`` writes nothing
and exits 1 when what is committed is not what the protos say.
"""

from __future__ import annotations

import argparse
import filecmp
import re
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
DOCUMENT = PROTOS.parent / "gateway" / "http" / "openapi.json"
TARGET = PROTOS.parent / "cardiomesh" / "_proto"
HEADER = '"""Generated from protos/ by `make protos`. Do not edit."""\n'

# protoc names Python packages after the proto path; ours live one level deeper, out of the public face.
_IMPORT = re.compile(r"\bcardiomesh\.(types|gateway|preprocessor|explainer)\.v1\b(?=\.\w+_pb2| import)")


def generate(target: Path) -> None:
    """Write all stubs below ``target``, replacing what is there."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = ["protoc", f"-I{PROTOS}", f"-I{WELL_KNOWN}"]
        arguments += [f"--{plugin}_out={scratch}" for plugin in ("python", "grpc_python")]
        for plugin in ("mypy", "mypy_grpc"):  # executables of this very environment, activated or not
            arguments += [f"--plugin=protoc-gen-{plugin}={Path(sys.executable).parent / f'protoc-gen-{plugin}'}"]
            arguments += [f"--{plugin}_out=quiet:{scratch}"]
        if protoc.main([*arguments, *sources]) != 0:
            raise SystemExit("protoc refused the protos")
        made = Path(scratch) / "cardiomesh"
        for path in made.rglob("*.py*"):
            path.write_text(_IMPORT.sub(r"cardiomesh._proto.\1.v1", path.read_text()))
        for folder in [made, *(p for p in made.rglob("*") if p.is_dir())]:
            (folder / "__init__.py").write_text(HEADER)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)


def openapi() -> str:
    """The text of the OpenAPI document."""
    # The bindings that it needs stand on the gateway, and that on stubs which have to be there first.
    import openapi as made_of

    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch) / "protos.bin"
        sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
        kept = ["--include_source_info", "--include_imports", f"--descriptor_set_out={compiled}"]
        if protoc.main(["protoc", f"-I{PROTOS}", f"-I{WELL_KNOWN}", *kept, *sources]) != 0:
            raise SystemExit("protoc refused the protos")
        return made_of.document(FileDescriptorSet.FromString(compiled.read_bytes()))


def differences(left: Path, right: Path) -> list[str]:
    """Relative paths that differ between two trees of stubs."""
    names = {p.relative_to(root) for root in (left, right) for p in root.rglob("*.py*") if p.suffix in {".py", ".pyi"}}
    return sorted(
        str(n)
        for n in names
        if not ((left / n).is_file() and (right / n).is_file() and filecmp.cmp(left / n, right / n, shallow=False))
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on drift")
    if not parser.parse_args().check:
        generate(TARGET)
        DOCUMENT.write_text(openapi())
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "_proto"
        generate(fresh)
        drift = differences(fresh, TARGET)
    if not DOCUMENT.is_file() or DOCUMENT.read_text() != openapi():
        drift.append(str(DOCUMENT.relative_to(PROTOS.parent)))
    for name in drift:
        print(f"differs from what the protos say: {name}", file=sys.stderr)
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())
