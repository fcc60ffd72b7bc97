"""The identity of a result, and whether an earlier result is still up to date."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.parity import RANKS
from allin1_core.contracts.result import RESULT_VERSION, AnalysisResult, Identity
from allin1_core.errors import OutputError
from allin1_core.io.fingerprint import Fingerprint, fingerprint
from allin1_core.io.known_digests import KnownDigests
from allin1_core.io.results import load_result
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.found_stems import StemsInPlugin, StemsOfPlugin
from allin1_core.runtime.track import Track

#: Parameters of separation that affect its speed, and at most the rounding of stems.
_SEPARATION_SPEED = frozenset({"batch_size", "trust_weights"})

State = Literal["missing", "current", "incomplete", "stale", "other", "foreign"]


@dataclass(frozen=True)
class Source:
    """The files of a track, and their content when they were first read.

    Attributes
    ----------
    is_stems
        Whether they are ready-made stems.
    files
        Their fingerprints, in the order of the stems.
    given_by
        Plugin and version of stems that are not in files; `files` then contains the song.
    """

    is_stems: bool
    files: tuple[Fingerprint, ...]
    given_by: str = ""

    @property
    def digest(self) -> str:
        """Digest of the content of all files."""
        if not self.is_stems:
            return self.files[0].content
        text = "\n".join(file.content for file in self.files)
        return f"stems-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"

    def still_holds(self) -> bool:
        """Whether the files are unchanged."""
        return all(file.still_holds() for file in self.files)


def source_of(
    track: Track, found: StemsOfPlugin | None = None, known: KnownDigests | None = None
) -> Source:
    """Compute the fingerprints of the files that an analysis of `track` reads: its stems, those `found`, or the song.

    `known` as for :func:`~allin1_core.io.fingerprint.fingerprint`.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    stems = track.find_stems() if found is None else found.start
    if isinstance(stems, StemsInPlugin):
        given_by = f"{found.plugin} {found.version}".strip() if found else ""
        return Source(True, (fingerprint(track.source, known),), given_by)
    if stems is None:
        return Source(False, (fingerprint(track.source, known),))
    return Source(True, tuple(fingerprint(path, known) for path in stems.paths))


def identity_of(engine: Engine, source: Source) -> Identity:
    """Return the identity that a result of `source` would have."""
    card = engine.card
    metre = dataclasses.asdict(engine.backends.metre)
    if not metre["steady_phase"]:
        # Results from before this parameter do not contain it.
        del metre["steady_phase"]
    options: dict[str, Any] = {
        "input": "stems" if source.is_stems else "mix",
        "metre": metre,
        "plugins": {plugin: dict(given) for plugin, given in engine.backends.options.items()},
    }
    if source.given_by:
        options["stems_by"] = source.given_by
    if card.takes == "stems" and not source.is_stems:
        separation = dataclasses.asdict(engine.backends.demix)
        options["separation"] = {k: v for k, v in separation.items() if k not in _SEPARATION_SPEED}
    parity = engine.chooser.preferences.parity
    return Identity(
        audio=source.digest,
        model=card.name,
        weights=weights_digest(card),
        parity=(parity.level, parity.tolerance if math.isfinite(parity.tolerance) else None),
        # In the form in which it is read back from JSON.
        options=json.loads(json.dumps(options, default=_plain)),
        version=RESULT_VERSION,
    )


def _plain(value: object) -> object:
    """Convert a NumPy number to a Python number, and anything else to text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def weights_digest(card: ModelCard) -> str:
    """Return a digest of a model's parameters, based on the digests of its files, which are checked on reading."""
    files = (
        "\n".join(file.sha256 for file in card.files)
        or f"{card.name} {card.version}".strip() + " of its plugin"
    )
    return f"blake2b:{hashlib.blake2b(files.encode(), digest_size=16).hexdigest()}"


@dataclass(frozen=True)
class Earlier:
    """The result that an earlier run left for a track.

    Attributes
    ----------
    state
        ``missing``: there is none. ``current``: it contains everything that is requested. ``incomplete``: it has the
        same song, model and options, but lacks something. ``stale``: the song, the parameters of the model or this
        package have changed since, or a stronger parity is requested. ``other``: it has another model or other options.
        ``foreign``: it has no identity, like those of the original package.
    result
        The result without its arrays; None if there is none.
    difference
        What differs, for ``stale`` and ``other``, such as ``its model is harmonix-all, not builtin``.
    """

    state: State
    result: AnalysisResult | None = None
    difference: str = ""


def find_earlier(
    json_path: Path,
    identities: Iterable[Identity],
    outputs: Iterable[str],
    *,
    activations: bool = False,
    embeddings: bool = False,
) -> Earlier:
    """Examine the result that an earlier run left.

    Parameters
    ----------
    json_path
        Path of the result.
    identities
        Identities that are accepted; more than one if any of several models may be used.
    outputs
        Requested outputs: ``beats``, ``sections``.
    activations, embeddings
        Whether these arrays are requested.

    Raises
    ------
    OutputError
        The file exists, but cannot be read or is not a result.
    """
    if not json_path.exists():
        return Earlier("missing")
    result = load_result(json_path, load_activations=False, load_embeddings=False)
    provenance = result.provenance
    if provenance is None or provenance.identity is None:
        return Earlier("foreign", result)
    found, differences = provenance.identity, list[tuple[State, str]]()
    for wanted in identities:
        difference = _difference(found, wanted)
        if difference is None:
            name = json_path.name.removesuffix(".json")
            is_complete = set(outputs) <= set(provenance.outputs) and all(
                json_path.with_name(f"{name}.{suffix}").is_file() or what in provenance.not_given
                for what, suffix, is_asked in (
                    ("activations", "activ.npz", activations),
                    ("embeddings", "embed.npy", embeddings),
                )
                if is_asked
            )
            return Earlier("current" if is_complete else "incomplete", result)
        differences.append(difference)
    # For the user, "out of date" for one model is more informative than "different" for another.
    said = next((d for d in differences if d[0] == "stale"), differences[0])
    return Earlier(said[0], result, said[1])


def refuse_other(json_path: Path, earlier: Earlier) -> None:
    """Raise :class:`~allin1_core.errors.OutputError` if an earlier result must not be replaced without a request."""
    if earlier.state == "other":
        raise OutputError(
            f"contains a result of this song that differs from the requested one: {earlier.difference}.",
            remedy="Replace it (--overwrite), or name another folder (-o) or name"
            ' (--name "{name}.{model}").',
            path=json_path,
        )


def _difference(found: Identity, wanted: Identity) -> tuple[State, str] | None:
    """Return how a result differs from the wanted one; None if it does not."""
    if found.audio != wanted.audio:
        return "stale", "the audio has changed"
    if found.model != wanted.model:
        return "other", f"its model is {found.model}, not {wanted.model}"
    for group in sorted({*found.options, *wanted.options}):
        one, other = found.options.get(group), wanted.options.get(group)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            for name in sorted({*one, *other}):
                if one.get(name) != other.get(name):
                    return "other", f"its {name} is {one.get(name)}, not {other.get(name)}"
        return "other", f"its {group} is {one}, not {other}"
    if found.weights != wanted.weights:
        return "stale", f"the parameters of the model {found.model} have changed"
    if found.version != wanted.version:
        return "stale", "it was created by another version of allin1"
    if not _is_as_strong(found.parity, wanted.parity):
        return "stale", f"its parity is {found.parity[0]}, and {wanted.parity[0]} is requested"
    return None


def _is_as_strong(found: tuple[str, float | None], wanted: tuple[str, float | None]) -> bool:
    if found[0] not in RANKS or wanted[0] not in RANKS:
        return False
    one, other = RANKS[found[0]], RANKS[wanted[0]]
    tolerances = [math.inf if t is None else t for t in (found[1], wanted[1])]
    return one < other or (one == other and tolerances[0] <= tolerances[1])
