"""``cardiomesh keys``: make, list and withdraw API keys in the gateway's file of identities."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cardiomesh.errors import InvalidRequest, NotFound
from gateway.identity.caller import Role
from gateway.identity.directory import Identities, KeyEntry, digest_of, new_key, read_identities

__all__ = ["keys"]

keys = typer.Typer(help="Make, list and withdraw API keys.", no_args_is_help=True)
_out = Console()

FileOption = Annotated[
    Path, typer.Option("--file", envvar="CARDIOMESH_IDENTITIES", help="File of identities; made if it is not there.")
]


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="Who will use it, for the audit trail.")],
    role: Annotated[list[Role], typer.Option(help="May be given several times.")],
    file: FileOption = Path("identities.json"),
    tenant: Annotated[str, typer.Option(help="Whose results it sees.")] = "default",
    days: Annotated[int, typer.Option(min=1, help="Days until it expires.")] = 365,
) -> None:
    """Make a key and print it: the file holds its hash alone, so this is the only time it is seen."""
    known = read_identities(file) if file.exists() else Identities()
    if any(entry.name == name for entry in known.keys):
        raise InvalidRequest.field("name", f"{name!r} has a key already; withdraw it first", "EXISTS")
    key = new_key()
    try:
        entry = KeyEntry(
            name=name,
            tenant=tenant,
            roles=frozenset(role),
            sha256=digest_of(key),
            expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=days),
        )
    except ValueError as error:
        raise InvalidRequest.field("tenant", "lower-case letters, digits and hyphens, at most 64") from error
    _write(file, known.model_copy(update={"keys": (*known.keys, entry)}))
    print(key)


@keys.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="Whose key.")], file: FileOption = Path("identities.json")
) -> None:
    """Take a key out of the file; the gateway refuses it within a second or two."""
    known = read_identities(file)
    left = tuple(entry for entry in known.keys if entry.name != name)
    if len(left) == len(known.keys):
        raise NotFound(f"{file} has no key of {name!r}")
    _write(file, known.model_copy(update={"keys": left}))


@keys.command(name="list")
def list_keys(file: FileOption = Path("identities.json")) -> None:
    """Show who has a key, for which tenant, with which roles, and until when."""
    table = Table(box=None, pad_edge=False)
    for column in ("Name", "Tenant", "Roles", "Expires"):
        table.add_column(column)
    for entry in read_identities(file).keys:
        until = entry.expires.date().isoformat() if entry.expires else "never"
        table.add_row(entry.name, entry.tenant, ", ".join(sorted(entry.roles)), until)
    _out.print(table)


def _write(file: Path, identities: Identities) -> None:
    """Replace the file at once, readable by its owner alone."""
    temporary = file.with_name(file.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(identities.model_dump_json(indent=1) + "\n")
    temporary.replace(file)
