"""Logits of earlier runs, so that other parameters of the decoder, and exports, need no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.result import Identity
from allin1_core.errors import ContractError
from allin1_core.io.cache import ArrayCache, cache_key

_ARRAYS = ("beat", "downbeat", "section", "function")


@dataclass(frozen=True, eq=False)
class CachedLogits:
    """Logits of an earlier run.

    Attributes
    ----------
    logits
        In NumPy arrays.
    input, warnings
        What that run read, and what there was to say of it.
    """

    logits: Logits
    input: dict[str, Any]
    warnings: tuple[str, ...]


class LogitsCache:
    """Keeps logits by what decides them: audio, model, parameters, parity and separation, but no decoder's options.

    Parameters
    ----------
    cache
        Where they are kept; None to keep none.
    """

    def __init__(self, cache: ArrayCache | None) -> None:
        self._cache = cache

    @property
    def is_used(self) -> bool:
        """Whether anything is kept."""
        return self._cache is not None and self._cache.limit > 0

    def find(self, identity: Identity) -> CachedLogits | None:
        """Look for the logits of a result with this identity."""
        arrays = None if self._cache is None else self._cache.get(_key(identity))
        if arrays is None:
            return None
        try:
            note = json.loads(arrays["note"].tobytes())
            logits = Logits(*(arrays[name] for name in _ARRAYS)).validate()
            return CachedLogits(logits, dict(note["input"]), tuple(map(str, note["warnings"])))
        except (KeyError, TypeError, ValueError, ContractError):
            return None  # of another version

    def keep(
        self,
        identity: Identity,
        logits: Logits,
        source: Mapping[str, Any],
        warnings: Sequence[str],
    ) -> None:
        """Keep the logits of a run, with what it read and what there was to say of that."""
        if self._cache is None or not self.is_used:
            return
        note = json.dumps({"input": dict(source), "warnings": list(warnings)}, default=str)
        arrays = {name: np.asarray(getattr(logits, name)) for name in _ARRAYS}
        arrays["note"] = np.frombuffer(note.encode("utf-8", "replace"), np.uint8)
        self._cache.put(_key(identity), arrays)


def _key(identity: Identity) -> str:
    options = {k: v for k, v in identity.options.items() if k != "metre"}
    return cache_key(
        "logits",
        audio=identity.audio,
        weights=identity.weights,
        parity=identity.parity,
        options=json.dumps(options, sort_keys=True),
        version=identity.version,
    )
