"""The kinds of plugins that can be made."""

from __future__ import annotations

from dataclasses import dataclass

_NUMPY = "numpy>=1.24"


@dataclass(frozen=True)
class Kind:
    """A kind of plugin.

    Attributes
    ----------
    name
        What users say, and the folder of its templates.
    summary
        What it is, in a line, for help and for the summary of a new plugin.
    module
        Name of the module that does the work.
    dependencies
        What it needs besides the core.
    """

    name: str
    summary: str
    module: str
    dependencies: tuple[str, ...] = ()


#: Backends, by the stage that they run.
STAGE_KINDS = {
    kind.name: kind
    for kind in (
        Kind("demix", "A separator of songs into stems", "separation", (_NUMPY,)),
        Kind("spectrogram", "The spectrogram of stems", "spectrogram", (_NUMPY,)),
        Kind("nn", "The network, on another library or device", "network"),
        Kind("metrical_prep", "Logits to the decoder's activations", "activations", (_NUMPY,)),
        Kind("metrical_dbn", "The decoder of beats and downbeats", "decoder"),
        Kind("functional", "The boundaries and labels of sections", "sections"),
    )
}

#: All others.
OTHER_KINDS = {
    kind.name: kind
    for kind in (
        Kind("model", "A model of its own architecture, with its backend", "network", (_NUMPY,)),
        Kind("exporter", "A format that results can be exported to", "writing"),
        Kind("command", "A command of allin1", "commands", ("click>=8.1",)),
        Kind("post-processor", "A change to results before anybody sees them", "results"),
        Kind("observer", "What happens when a song is finished or written", "watching"),
        Kind("audio-loader", "A format of audio that can be read", "loading", (_NUMPY,)),
        Kind("stem-provider", "Where the stems of a song are", "stems"),
        Kind("executor", "Another way to run a batch of songs", "batches"),
        Kind("array-library", "Bridges to arrays of another library", "arrays", (_NUMPY,)),
        Kind("policy", "A choice among the ways to run a song", "routes"),
    )
}

KINDS = {**STAGE_KINDS, **OTHER_KINDS}
