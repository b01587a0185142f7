"""Taking a version out of service, and checking that everything served is what its card says."""

from __future__ import annotations

from pathlib import Path

from cardiomesh.cards import CARD_FILE, VERDICT_FILE, CardError, ModelCard, load_card
from export.errors import GateError
from export.publishing.repository import file_digest, versions, withdraw_version
from export.publishing.triton import SERVED_VERSIONS

__all__ = ["answering_with", "check_members_stay", "rollback", "verify"]


def _ensembles(repository: Path) -> list[ModelCard]:
    names = sorted(path.name for path in repository.iterdir() if path.is_dir())
    newest = [repository / n / str(versions(repository, n)[-1]) / CARD_FILE for n in names if versions(repository, n)]
    cards = [load_card(path) for path in newest if path.is_file()]
    return [card for card in cards if card.architecture.family == "ensemble"]


def check_members_stay(repository: Path, name: str, number: int) -> None:
    """``GateError`` where publishing version ``number`` would unload the version that an ensemble answers with."""
    served = sorted({*versions(repository, name), number})[-SERVED_VERSIONS:]
    for card in _ensembles(repository):
        for member in card.architecture.config["members"]:
            if member["name"] == name and member["version"] not in served:
                raise GateError(
                    f"{card.name} {card.version} answers with {name} {member['version']}, which would no longer be "
                    f"served beside version {number}; publish the ensemble anew first"
                )


def answering_with(repository: Path, name: str, number: int) -> list[str]:
    """The ensembles whose newest version has this version as a member, as "NAME VERSION"."""
    return [
        f"{card.name} {card.version}"
        for card in _ensembles(repository)
        if (name, number) in [(m["name"], m["version"]) for m in card.architecture.config["members"]]
    ]


def rollback(repository: Path, name: str) -> int:
    """Withdraw the newest version of a model and of what belongs to it; returns its number.

    Refused while an ensemble answers with that version: withdraw the ensemble first.
    """
    present = versions(repository, name)
    for ensemble in answering_with(repository, name, present[-1]) if present else ():
        raise GateError(f"{ensemble} answers with {name} {present[-1]}; roll it back first")
    return withdraw_version(repository, name, f"{name}_attribution", f"{name}_combination")


def verify(repository: Path) -> tuple[list[str], list[str]]:
    """Files whose SHA-256 and size are those of their cards, and what is wrong with the others.

    A graph in a version folder that no card describes is wrong too.
    """
    good: list[str] = []
    wrong: list[str] = []
    described: set[str] = set()
    for path in sorted(repository.glob(f"*/[1-9]*/{CARD_FILE}")):
        try:
            card = load_card(path)
        except CardError as error:
            wrong.append(str(error))
            continue
        for place, artifact in card.artifacts.items():
            described.add(place)
            file = repository / place
            if not file.is_file():
                wrong.append(f"{place}: is missing; the card of {card.name} {card.version} describes it")
            elif (file.stat().st_size, file_digest(file)) != (artifact.bytes, artifact.sha256):
                wrong.append(f"{place}: is not the file that the card of {card.name} {card.version} describes")
            else:
                good.append(place)
    for file in sorted(repository.glob("*/[1-9]*/*")):
        place = str(file.relative_to(repository))
        if file.is_file() and file.name not in (CARD_FILE, VERDICT_FILE) and place not in described:
            wrong.append(f"{place}: no card describes it")
    return sorted(set(good)), wrong
