"""Colours of sections, the same in every picture."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.logits import HARMONIX_LABELS

#: Paul Tol's light qualitative scheme, which is distinguishable with colour blindness; black text is legible on each.
_COLOURS = (
    "#DDDDDD",
    "#DDDDDD",
    "#99DDFF",
    "#AAAA00",
    "#FFAABB",
    "#44BB99",
    "#BBCC33",
    "#EEDD88",
    "#77AADD",
    "#EE8866",
)


def colours_of(labels: Iterable[str]) -> dict[str, str]:
    """Return a colour ``#RRGGBB`` for each label; unknown labels get different ones as long as there are enough."""
    known = dict(zip(HARMONIX_LABELS, _COLOURS, strict=True))
    others = dict.fromkeys(label for label in labels if label not in known)
    spare = _COLOURS[2:]
    return known | {label: spare[i % len(spare)] for i, label in enumerate(others)}
