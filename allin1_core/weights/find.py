"""Lookup of a model by its name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from allin1_core.contracts.model import ModelCard, SeparatorCard
from allin1_core.errors import SelectionError
from allin1_core.installing import install_command
from allin1_core.text import did_you_mean

#: Models of known plugins, and the distribution that provides each, for error messages.
KNOWN_MODELS = {"madmom-rnn": "allin1-madmom"}


Card = TypeVar("Card", bound=ModelCard | SeparatorCard)


def find_card(name: str, cards: Iterable[Card]) -> Card:
    """Find the card called `name`, or ``name@version``.

    Raises
    ------
    SelectionError
        There is none; the remedy lists the available ones.
    """
    known = {card.name: card for card in cards}
    if name in known:
        return known[name]
    base, _, version = name.rpartition("@")
    if base in known and version == getattr(known[base], "version", None):
        return known[base]
    shared = [full for full in known if full.rpartition("/")[2] == name]
    if shared:
        raise SelectionError(
            f"More than one plugin has a model called {name!r}.",
            remedy=f"Use one of {', '.join(shared)}.",
        )
    if name in KNOWN_MODELS:
        raise SelectionError(
            f"The model {name!r} comes with {KNOWN_MODELS[name]}, which is not loaded.",
            remedy=f"Install it: {install_command(KNOWN_MODELS[name])}. If it is installed, see 'allin1 plugins'.",
        )
    raise SelectionError(
        f"There is no model called {name!r}.",
        remedy=f"{did_you_mean(name, known)}Available: {', '.join(known) or 'none'}.",
    )
