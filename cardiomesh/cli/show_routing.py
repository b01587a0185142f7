"""How the model was chosen, in words, where it is not simply the one that was asked for."""

from __future__ import annotations

from typing import Final

from cardiomesh.client import Model, Routing
from cardiomesh.language import Language

__all__ = ["routing_words"]

_WORDS: Final = {
    "en": {
        "mode": "chosen by the mode {mode}",
        "canary": "{answered} is on trial and answers a share of all recordings",
        "fallback": "FALLBACK: {intended} could not answer, {answered} did instead",
        "fast": "fast",
        "accurate": "accurate",
    },
    "pt": {
        "mode": "escolhido pelo modo {mode}",
        "canary": "{answered} está em teste e responde a uma parte dos registros",
        "fallback": "SUBSTITUIÇÃO: {intended} não pôde responder; {answered} respondeu no lugar",
        "fast": "rápido",
        "accurate": "preciso",
    },
}


def routing_words(routing: Routing, language: Language) -> str:
    """One sentence without its stop."""
    words = _WORDS[language]
    return words[routing.reason].format(
        mode=words.get(routing.asked_mode, ""), intended=_name(routing.intended), answered=_name(routing.answered_by)
    )


def _name(model: Model) -> str:
    return f"{model.name} v{model.version}" if model.version else model.name
