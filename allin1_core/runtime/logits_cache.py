"""Cached logits of earlier runs, so that other decoder parameters and exports do not need the network."""

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
        Logits in NumPy arrays.
    input, warnings
        The input of that run, and its warnings.
    """

    logits: Logits
    input: dict[str, Any]
    warnings: tuple[str, ...]


class LogitsCache:
    """Stores logits by what determines them: audio, weights, parity and options, except those of the metre decoder.

    Parameters
    ----------
    cache
        Where they are stored; None to store nothing.
    """

    def __init__(self, cache: ArrayCache | None) -> None:
        self._cache = cache

    @property
    def is_used(self) -> bool:
        """Whether the cache is enabled."""
        return self._cache is not None and self._cache.limit > 0

    def find(self, identity: Identity) -> CachedLogits | None:
        """Look up the logits of a result with this identity."""
        arrays = None if self._cache is None else self._cache.get(_key(identity))
        if arrays is None:
            return None
        try:
            note = json.loads(arrays["note"].tobytes())
            logits = Logits(*(arrays[name] for name in _ARRAYS)).validate()
            return CachedLogits(logits, dict(note["input"]), tuple(map(str, note["warnings"])))
        except (KeyError, TypeError, ValueError, ContractError):
            return None  # written by another version

    def keep(
        self,
        identity: Identity,
        logits: Logits,
        source: Mapping[str, Any],
        warnings: Sequence[str],
    ) -> None:
        """Store the logits of a run, with its input and warnings."""
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
