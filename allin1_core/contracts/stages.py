"""The stages of the pipeline: their names, what they take and give, and how a backend is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.logits import HARMONIX_LABELS, Activations, Logits
from allin1_core.contracts.metre import DEFAULT_THRESHOLD, Metre, MetreParameters
from allin1_core.contracts.model import Model, WeightsContent
from allin1_core.contracts.options import OptionValue
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.spectrogram import LogSpectrogram

Stage = Literal["demix", "spectrogram", "nn", "metrical_prep", "metrical_dbn", "functional"]

#: Stages in the order in which they run.
STAGES: tuple[Stage, ...] = (
    "demix",
    "spectrogram",
    "nn",
    "metrical_prep",
    "metrical_dbn",
    "functional",
)

#: Record that each stage takes; the spectrogram of a model that takes the mix (:attr:`ModelCard.takes`) takes a Mix.
TAKES: dict[Stage, type[Any]] = {
    "demix": Mix,
    "spectrogram": Stems,
    "nn": LogSpectrogram,
    "metrical_prep": Logits,
    "metrical_dbn": Activations,
    "functional": Logits,
}

#: Record that each stage gives.
GIVES: dict[Stage, type[Any]] = {
    "demix": Stems,
    "spectrogram": LogSpectrogram,
    "nn": Logits,
    "metrical_prep": Activations,
    "metrical_dbn": Metre,
    "functional": Sections,
}

#: Stages of both branches behind the logits. A backend may cover all of them, and stages before them, in one call that gives
#: :class:`~allin1_core.contracts.findings.Findings`.
BOTH_BRANCHES: tuple[Stage, ...] = ("metrical_prep", "metrical_dbn", "functional")


def covers_both(stages: Sequence[Stage]) -> bool:
    """Whether a backend of these stages gives beats and sections at once."""
    return tuple(stages[-3:]) == BOTH_BRANCHES


def given_by(stages: Sequence[Stage]) -> type[Any]:
    """The record that a backend of these consecutive stages gives.

    >>> given_by(("spectrogram", "nn")).__name__
    'Logits'
    """
    return Findings if covers_both(stages) else GIVES[stages[-1]]


def _silent(fraction: float) -> None:
    """The progress of a caller who does not ask."""


@dataclass(frozen=True)
class Task:
    """What one call of a backend should do beyond its stage's ordinary work.

    Attributes
    ----------
    embeddings
        The network shall also give its embeddings.
    progress
        To be called with the fraction done, from 0 to 1, a few times a second in a long stage.
        It may raise, to cancel; let that through.
    track
        Name of the track, for messages; empty where it has none.
    audio_s
        Length of the whole song in seconds, also where a call gets a part of it; None where that is not known.
    """

    embeddings: bool = False
    progress: Callable[[float], None] = field(default=_silent)
    track: str = ""
    audio_s: float | None = None


#: The decoder's parameters for the models shipped here.
DEFAULT_METRE = MetreParameters(threshold=DEFAULT_THRESHOLD)

#: The separation as the original does it.
DEFAULT_DEMIX = DemixParameters()


@dataclass(frozen=True, eq=False)
class Setup:
    """What a backend's factory may need to know; it takes what concerns it.

    Attributes
    ----------
    device
        Name of the device to run on, as the probe gave it: ``cpu``, ``cuda:0``.
    model
        The model with its parameters; None unless the backend covers the stage ``nn``.
    metre
        Parameters of the metre decoder, with the threshold filled in.
    demix
        Parameters of the separation.
    threads
        Threads to use on a CPU; None for the library's own choice.
    options
        A value for each option that the backend declares: the user's, or the default.
    separator_files
        Gives the checked files of the separation model ``demix.model``, in the order of its card, and may fetch them
        first; it raises :class:`~allin1_core.errors.WeightsError` where they cannot be had. None unless the
        backend covers the stage ``demix``.
    labels
        Labels of the model's sections, in the order of the rows of ``Logits.function``. A backend of ``functional`` that
        obeys them declares the feature ``labels``.
    """

    device: str = "cpu"
    model: Model | None = None
    metre: MetreParameters = DEFAULT_METRE
    demix: DemixParameters = DEFAULT_DEMIX
    threads: int | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    separator_files: Callable[[], tuple[WeightsContent, ...]] | None = None
    labels: tuple[str, ...] = HARMONIX_LABELS


#: Record that a callable takes, and record that it gives.
Taken = TypeVar("Taken", contravariant=True)
Given = TypeVar("Given", covariant=True)


class StageCall(Protocol[Taken, Given]):
    """What runs one stage or several: takes the record of the first, and gives that of the last.

    It types backends that span stages: ``Backend[StageCall[Stems, Logits]]`` runs ``spectrogram`` and ``nn``.
    """

    def __call__(self, data: Taken, task: Task, /) -> Given:
        """Run the stages on `data`."""
        ...


#: What may be given by a backend that begins with ``metrical_prep``: also beats and sections at once.
ActivationsOrLater = Activations | Metre | Findings

#: What may be given by a backend that ends with ``nn`` or a later stage.
LogitsOrLater = Logits | ActivationsOrLater | Sections

#: What may be given by a backend that ends with ``spectrogram`` or a later stage.
SpectrogramOrLater = LogSpectrogram | LogitsOrLater

#: What may be given by a backend that ends with any stage.
StemsOrLater = Stems | SpectrogramOrLater


class Demix(Protocol):
    """Separates a mix into stems."""

    def __call__(self, mix: Mix, task: Task, /) -> Stems:
        """Separate `mix`."""
        ...


class StreamingDemix(Demix, Protocol):
    """A separator that can also do with a part of the song in memory at a time.

    A backend that declares ``streams`` gives a callable with this method, which is used where a song is long.
    """

    def stream(self, blocks: Callable[[], Iterator[Mix]], task: Task, /) -> Iterator[Stems]:
        """Separate a song that is read block by block.

        Parameters
        ----------
        blocks
            Begins to read the song, in consecutive blocks of any length; each call begins anew, and each
            is the reading and decoding of a file. What it raises is to be let through.
        task
            As for the call. Its fraction is that of the whole song.

        Returns
        -------
        iterator of Stems
            Consecutive stems of any length, which put together are those of the whole song, to rounding.
            What is kept between them does not grow with the song. It may be closed early.
        """
        ...


class MeasuringDemix(Demix, Protocol):
    """A separator that can say what its precisions lose.

    What has a method ``precision_errors`` is asked for it by ``allin1 bench --demix-error``.
    """

    def precision_errors(self, mix: Mix, task: Task, /) -> Mapping[str, Mapping[str, float]]:
        """Compare the stems of each precision with those in float32.

        Returns
        -------
        mapping
            For each precision that it has here besides float32, and each stem, the level of the stem over that of its
            error, in decibels; infinite without error, minus infinity where the precision overflowed. Empty
            where everything is computed in float32.
        """
        ...


class Spectrogram(Protocol):
    """Turns stems into a log-filterbank spectrogram."""

    def __call__(self, stems: Stems, task: Task, /) -> LogSpectrogram:
        """Transform `stems`."""
        ...


class MixSpectrogram(Protocol):
    """Turns a mix into the spectrogram of its four views: a backend of ``spectrogram`` that takes the mix."""

    def __call__(self, mix: Mix, task: Task, /) -> LogSpectrogram:
        """Transform `mix`."""
        ...


class Nn(Protocol):
    """Runs the network."""

    def __call__(self, spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        """Run the network on `spectrogram`."""
        ...


class MetricalPrep(Protocol):
    """Turns beat and downbeat logits into the decoder's activations."""

    def __call__(self, logits: Logits, task: Task, /) -> Activations:
        """Normalise `logits`."""
        ...


class MetricalDbn(Protocol):
    """Decodes activations into beats and their positions in the bar."""

    def __call__(self, activations: Activations, task: Task, /) -> Metre:
        """Decode `activations`."""
        ...


class Functional(Protocol):
    """Finds section boundaries and labels."""

    def __call__(self, logits: Logits, task: Task, /) -> Sections:
        """Segment by `logits`."""
        ...


class BeatsAndSections(Protocol):
    """Covers both branches, and what lies before them: a backend whose ``spans`` end in :data:`BOTH_BRANCHES`."""

    def __call__(self, data: Any, task: Task, /) -> Findings:
        """Find beats and sections in what the first of its stages takes."""
        ...
