"""The kinds of new plugins."""

from __future__ import annotations

from dataclasses import dataclass

_NUMPY = "numpy>=1.24"


@dataclass(frozen=True)
class Kind:
    """A kind of plugin.

    Attributes
    ----------
    name
        Name on the command line, and of the folder with its templates.
    summary
        One line for the help, and for the summary of a new plugin.
    module
        Name of the module with the implementation.
    dependencies
        Requirements besides the core.
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
        Kind("nn", "The network, with another library or on another device", "network"),
        Kind(
            "metrical_prep",
            "Conversion of logits to activations for the decoder",
            "activations",
            (_NUMPY,),
        ),
        Kind("metrical_dbn", "The decoder of beats and downbeats", "decoder"),
        Kind("functional", "The boundaries and labels of sections", "sections"),
    )
}

#: All other kinds.
OTHER_KINDS = {
    kind.name: kind
    for kind in (
        Kind("model", "A model with its own architecture and backend", "network", (_NUMPY,)),
        Kind("exporter", "A format that results can be exported to", "writing"),
        Kind("command", "A command of allin1", "commands", ("click>=8.1",)),
        Kind(
            "post-processor", "A change to every result before it is returned or written", "results"
        ),
        Kind("observer", "An action when a song is finished or its result written", "watching"),
        Kind("audio-loader", "A reader for an audio format", "loading", (_NUMPY,)),
        Kind("stem-provider", "A source of ready-made stems", "stems"),
        Kind("executor", "Another way to run a batch of songs", "batches"),
        Kind("array-library", "Bridges to arrays of another library", "arrays", (_NUMPY,)),
        Kind("policy", "A choice among routes", "routes"),
    )
}

KINDS = {**STAGE_KINDS, **OTHER_KINDS}
