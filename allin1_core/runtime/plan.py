"""The input of a run, its outputs, and the stages that lead from one to the other.

The stages, and the record that each takes, depend on the model: one that takes the mix has no separation before its
spectrogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix, Stems
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.route import USUAL_AUDIO_S, Step
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import STAGES, TAKES, Stage
from allin1_core.errors import InputError
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.moving import space_of
from allin1_core.runtime.streaming import is_long_song

#: What a run can start from.
Start = Mix | MixFile | Stems | StemFiles | LogSpectrogram | Logits | Activations

#: Length in seconds above which files of stems are read in blocks.
LONG_STEMS_S = 300.0

#: Number of frames above which the network processes a song in blocks.
LONG_SONG_FRAMES = 15 * 60 * FRAMES_PER_SECOND

#: The stage that needs no accelerator, and on which no other stage depends.
DECODER: tuple[Stage, ...] = ("metrical_dbn",)


class HasLength(Protocol):
    """Audio, or a record computed from it; the length is None if its files do not state it."""

    @property
    def duration_s(self) -> float | None:
        """Length in seconds."""
        ...


@dataclass(frozen=True)
class Products:
    """The outputs of a run in NumPy arrays; None if not requested, or not provided by the backends of the route."""

    logits: Logits | None = None
    activations: Activations | None = None
    metre: Metre | None = None
    sections: Sections | None = None


@dataclass(frozen=True)
class _Output:
    """A possible output: its field of :class:`Products`, its record, and the stages after the network."""

    field: str
    record: type[Any]
    stages: tuple[Stage, ...]


_OUTPUTS: dict[str, _Output] = {
    "logits": _Output("logits", Logits, ()),
    "activations": _Output("activations", Activations, ("metrical_prep",)),
    "beats": _Output("metre", Metre, ("metrical_prep", "metrical_dbn")),
    "sections": _Output("sections", Sections, ("functional",)),
}


@dataclass(frozen=True)
class Wanted:
    """The requested outputs of a run.

    Attributes
    ----------
    outputs
        Any of ``activations``, ``beats``, ``sections``, ``logits``.
    embeddings
        Whether the network returns its embeddings, which are part of the logits.

    Raises
    ------
    InputError
        An output is unknown, or none is requested.
    """

    outputs: frozenset[str]
    embeddings: bool = False

    def __post_init__(self) -> None:
        unknown = self.outputs - set(_OUTPUTS)
        if unknown or not self.outputs:
            raise InputError(
                f"There is no output called {', '.join(sorted(unknown))}."
                if unknown
                else "No outputs were requested.",
                remedy=f"Outputs are {', '.join(_OUTPUTS)}.",
            )

    @property
    def records(self) -> dict[str, type[Any]]:
        """The records that the run must hold at its end, by field of :class:`Products`."""
        names = {*self.outputs, "logits"} if self.embeddings else self.outputs
        return {_OUTPUTS[name].field: _OUTPUTS[name].record for name in names}

    @property
    def tail(self) -> set[Stage]:
        """The stages after the network that are needed."""
        return {stage for output in self.outputs for stage in _OUTPUTS[output].stages}


def trunk_of(card: ModelCard) -> tuple[Stage, ...]:
    """The stages up to the logits of a model, in order."""
    return ("spectrogram", "nn") if card.takes == "mix" else ("demix", "spectrogram", "nn")


def takes(stage: Stage, card: ModelCard) -> type[Any]:
    """The record that a stage of a model takes."""
    return Mix if stage == "spectrogram" and card.takes == "mix" else TAKES[stage]


def record_of(start: type[Any], card: ModelCard) -> type[Any]:
    """The record with which a run from `start` begins: stems become their sum if the model takes the mix."""
    kind = {StemFiles: Stems, MixFile: Mix}.get(start, start)
    return Mix if kind is Stems and card.takes == "mix" else kind


def stages_from(start: type[Any], wanted: Wanted, card: ModelCard) -> tuple[Stage, ...]:
    """List the stages in order that lead from a record of type `start`, or from its files, to the outputs.

    Raises
    ------
    InputError
        An output cannot be computed from `start`.
    """
    kind = record_of(start, card)
    if kind is Activations:
        if wanted.outputs != {"beats"}:
            raise InputError(
                "Only beats can be computed from activations.", remedy="Start from logits or audio."
            )
        return DECODER
    trunk = trunk_of(card)
    first = next((i for i, stage in enumerate(trunk) if takes(stage, card) is kind), len(trunk))
    tail = wanted.tail
    return (*trunk[first:], *(stage for stage in STAGES if stage in tail))


def seconds_of(start: HasLength) -> float:
    """Seconds of audio in `start`; the usual length if its files do not state it."""
    length = start.duration_s
    return USUAL_AUDIO_S if length is None else length


def space_of_start(start: Start) -> Space:
    """Where the arrays of `start` are located; files are read into NumPy."""
    if isinstance(start, (MixFile, StemFiles)):
        return HOST
    return space_of(getattr(start, start.ARRAYS[0]))


def is_long(file: MixFile | StemFiles) -> bool:
    """Whether a song or its stems are too long to be read at once, or their files do not state the length."""
    if isinstance(file, MixFile):
        return is_long_song(file)
    return file.duration_s is None or file.duration_s > LONG_STEMS_S


def bytes_of(start: MixFile | HasLength) -> int:
    """Memory for the audio of a track that is to be read; 0 for files that are read in blocks."""
    if isinstance(start, (MixFile, StemFiles)) and is_long(start):
        return 0
    channels = 2 if isinstance(start, MixFile) else 2 * len(STEMS)
    return round(seconds_of(start) * SAMPLE_RATE) * channels * 4  # float32


def is_streamed(record: object, steps: list[Step]) -> bool:
    """Whether the next two steps, separation and spectrogram, process a long song together in blocks."""
    return (
        isinstance(record, MixFile)
        and is_long(record)
        and [step.backend.stages for step in steps[:2]] == [("demix",), ("spectrogram",)]
        and steps[0].backend.streams
    )


def stages_in_blocks(start: object, audio_s: float, card: ModelCard) -> tuple[Stage, ...]:
    """The stages that process a song of this length in blocks, for a request; see :func:`is_in_blocks`."""
    found: list[Stage] = []
    if isinstance(start, (MixFile, StemFiles)) and is_long(start):
        kind = record_of(type(start), card)
        found += [stage for stage in trunk_of(card) if takes(stage, card) is kind]
    if card.context_frames is not None and audio_s * FRAMES_PER_SECOND > LONG_SONG_FRAMES:
        found.append("nn")
    return tuple(found)


def is_in_blocks(record: object, step: Step, card: ModelCard) -> bool:
    """Whether a step processes its input in blocks: a spectrogram long files, the network many frames."""
    stages = step.backend.stages
    if isinstance(record, (MixFile, StemFiles)):
        return stages == ("spectrogram",) and is_long(record)
    if isinstance(record, LogSpectrogram):
        frames = int(record.frames.shape[1])
        return stages == ("nn",) and card.context_frames is not None and frames > LONG_SONG_FRAMES
    return False
