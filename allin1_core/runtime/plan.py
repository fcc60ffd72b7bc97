"""What a run starts from, what it is to give, and which stages lead from the one to the other.

Which stages follow, and which record each of them takes, depends on the model: one that takes the mix has no
separation before its spectrogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from allin1_core.contracts.audio import Mix, Stems
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

#: Seconds from which on files of stems are read in blocks.
LONG_STEMS_S = 300.0

#: Frames from which on the network is given a song in blocks.
LONG_SONG_FRAMES = 15 * 60 * FRAMES_PER_SECOND

#: The stage that needs no accelerator, and that nothing else needs.
DECODER: tuple[Stage, ...] = ("metrical_dbn",)


class HasLength(Protocol):
    """Audio, or what was made of it; None where its files do not say how long it is."""

    @property
    def duration_s(self) -> float | None:
        """Length in seconds."""
        ...


@dataclass(frozen=True)
class Products:
    """What a run gave, in NumPy arrays; None where it was not asked for, or no backend of the route gives it."""

    logits: Logits | None = None
    activations: Activations | None = None
    metre: Metre | None = None
    sections: Sections | None = None


@dataclass(frozen=True)
class _Output:
    """Something to ask for: its field of :class:`Products`, its record, and the stages behind the network."""

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
    """What a run is to give.

    Attributes
    ----------
    outputs
        Any of ``activations``, ``beats``, ``sections``, ``logits``.
    embeddings
        Whether the network shall give its embeddings, which come with the logits.

    Raises
    ------
    InputError
        If an output is unknown, or none is wanted.
    """

    outputs: frozenset[str]
    embeddings: bool = False

    def __post_init__(self) -> None:
        unknown = self.outputs - set(_OUTPUTS)
        if unknown or not self.outputs:
            raise InputError(
                f"No output is called {', '.join(sorted(unknown)) or '(nothing)'}.",
                remedy=f"Outputs are {', '.join(_OUTPUTS)}.",
            )

    @property
    def records(self) -> dict[str, type[Any]]:
        """The records that the run has to hold at its end, by their field of :class:`Products`."""
        names = {*self.outputs, "logits"} if self.embeddings else self.outputs
        return {_OUTPUTS[name].field: _OUTPUTS[name].record for name in names}

    @property
    def tail(self) -> set[Stage]:
        """The stages behind the network that it needs."""
        return {stage for output in self.outputs for stage in _OUTPUTS[output].stages}


def trunk_of(card: ModelCard) -> tuple[Stage, ...]:
    """The stages up to the logits of a model, in order."""
    return ("spectrogram", "nn") if card.takes == "mix" else ("demix", "spectrogram", "nn")


def takes(stage: Stage, card: ModelCard) -> type[Any]:
    """The record that a stage of a model takes."""
    return Mix if stage == "spectrogram" and card.takes == "mix" else TAKES[stage]


def record_of(start: type[Any], card: ModelCard) -> type[Any]:
    """The record that a run from `start` holds first: of files what is read, of stems their sum if a model takes that."""
    kind = {StemFiles: Stems, MixFile: Mix}.get(start, start)
    return Mix if kind is Stems and card.takes == "mix" else kind


def stages_from(start: type[Any], wanted: Wanted, card: ModelCard) -> tuple[Stage, ...]:
    """List the stages that lead from a record of type `start`, or files of it, to what is wanted, in order.

    Raises
    ------
    InputError
        If an output lies before the start.
    """
    kind = record_of(start, card)
    if kind is Activations:
        if wanted.outputs != {"beats"}:
            raise InputError("From activations only beats can be found.")
        return DECODER
    trunk = trunk_of(card)
    first = next((i for i, stage in enumerate(trunk) if takes(stage, card) is kind), len(trunk))
    tail = wanted.tail
    return (*trunk[first:], *(stage for stage in STAGES if stage in tail))


def seconds_of(start: HasLength) -> float:
    """Seconds of audio in `start`; the usual length where its files do not say."""
    length = start.duration_s
    return USUAL_AUDIO_S if length is None else length


def space_of_start(start: Start) -> Space:
    """Where the arrays of `start` lie; files are read into NumPy."""
    if isinstance(start, (MixFile, StemFiles)):
        return HOST
    return space_of(getattr(start, start.ARRAYS[0]))


def is_long(file: MixFile | StemFiles) -> bool:
    """Whether a song or its stems are too long to be read whole, or their files do not say how long they are."""
    if isinstance(file, MixFile):
        return is_long_song(file)
    return file.duration_s is None or file.duration_s > LONG_STEMS_S


def is_streamed(record: object, steps: list[Step]) -> bool:
    """Whether the next two steps go through a long song block by block together: separation, and the spectrogram."""
    return (
        isinstance(record, MixFile)
        and is_long(record)
        and [step.backend.stages for step in steps[:2]] == [("demix",), ("spectrogram",)]
        and steps[0].backend.streams
    )


def stages_in_blocks(start: object, audio_s: float, card: ModelCard) -> tuple[Stage, ...]:
    """The stages that go through a song of this length block by block, for a request; see :func:`is_in_blocks`."""
    found: list[Stage] = []
    if isinstance(start, (MixFile, StemFiles)) and is_long(start):
        kind = record_of(type(start), card)
        found += [stage for stage in trunk_of(card) if takes(stage, card) is kind]
    if card.context_frames is not None and audio_s * FRAMES_PER_SECOND > LONG_SONG_FRAMES:
        found.append("nn")
    return tuple(found)


def is_in_blocks(record: object, step: Step, card: ModelCard) -> bool:
    """Whether a step goes through what is long block by block: a spectrogram through files, the network through frames."""
    stages = step.backend.stages
    if isinstance(record, (MixFile, StemFiles)):
        return stages == ("spectrogram",) and is_long(record)
    if isinstance(record, LogSpectrogram):
        frames = int(record.frames.shape[1])
        return stages == ("nn",) and card.context_frames is not None and frames > LONG_SONG_FRAMES
    return False
