"""The stages of the pipeline: their names, inputs and outputs, and how backends are called."""

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

#: Record that each stage returns.
GIVES: dict[Stage, type[Any]] = {
    "demix": Stems,
    "spectrogram": LogSpectrogram,
    "nn": Logits,
    "metrical_prep": Activations,
    "metrical_dbn": Metre,
    "functional": Sections,
}

#: Stages of both branches after the logits. A backend may cover all of them, and stages before them, in one call that
#: returns :class:`~allin1_core.contracts.findings.Findings`.
BOTH_BRANCHES: tuple[Stage, ...] = ("metrical_prep", "metrical_dbn", "functional")


def covers_both(stages: Sequence[Stage]) -> bool:
    """Whether a backend of these stages returns beats and sections together."""
    return tuple(stages[-3:]) == BOTH_BRANCHES


def given_by(stages: Sequence[Stage]) -> type[Any]:
    """The record that a backend of these consecutive stages returns.

    >>> given_by(("spectrogram", "nn")).__name__
    'Logits'
    """
    return Findings if covers_both(stages) else GIVES[stages[-1]]


def _silent(fraction: float) -> None:
    """The default progress, which does nothing."""


@dataclass(frozen=True)
class Task:
    """Parameters of one call of a backend.

    Attributes
    ----------
    embeddings
        Whether the network also returns its embeddings.
    progress
        To be called with the fraction that is done, from 0 to 1, a few times per second in a long stage. It may raise
        an exception to cancel the call, which must not be caught.
    track
        Name of the track for messages; empty if it has none.
    audio_s
        Length of the whole song in seconds, even if a call receives only a part of it; None if unknown.
    """

    embeddings: bool = False
    progress: Callable[[float], None] = field(default=_silent)
    track: str = ""
    audio_s: float | None = None


#: The decoder's parameters for the models of this package.
DEFAULT_METRE = MetreParameters(threshold=DEFAULT_THRESHOLD)

#: Parameters of the original's separation.
DEFAULT_DEMIX = DemixParameters()


@dataclass(frozen=True, eq=False)
class Setup:
    """Parameters for a backend's factory, which uses those that it needs.

    Attributes
    ----------
    device
        Name of the device to run on, as returned by the probe: ``cpu``, ``cuda:0``.
    model
        The model with its parameters; None unless the backend covers the stage ``nn``.
    metre
        Parameters of the metre decoder, with the threshold filled in.
    demix
        Parameters of the separation.
    threads
        Number of CPU threads; None lets the library decide.
    options
        Values of the options that the backend declares: the user's, or the defaults.
    separator_files
        Returns the checked files of the separation model ``demix.model``, in the order of its card, and may download
        them first; raises :class:`~allin1_core.errors.WeightsError` if they are not available. None unless the backend
        covers the stage ``demix``.
    labels
        Labels of the model's sections, in the order of the rows of ``Logits.function``. A backend of ``functional``
        that uses them declares the feature ``labels``.
    """

    device: str = "cpu"
    model: Model | None = None
    metre: MetreParameters = DEFAULT_METRE
    demix: DemixParameters = DEFAULT_DEMIX
    threads: int | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    separator_files: Callable[[], tuple[WeightsContent, ...]] | None = None
    labels: tuple[str, ...] = HARMONIX_LABELS


#: Record that a callable takes, and record that it returns.
Taken = TypeVar("Taken", contravariant=True)
Given = TypeVar("Given", covariant=True)


class StageCall(Protocol[Taken, Given]):
    """Runs one stage or several: takes the record of the first, and returns that of the last.

    It annotates backends that span stages: ``Backend[StageCall[Stems, Logits]]`` runs ``spectrogram`` and ``nn``.
    """

    def __call__(self, data: Taken, task: Task, /) -> Given:
        """Run the stages on `data`."""
        ...


#: Possible outputs of a backend that begins with ``metrical_prep``, including beats and sections together.
ActivationsOrLater = Activations | Metre | Findings

#: Possible outputs of a backend that ends with ``nn`` or a later stage.
LogitsOrLater = Logits | ActivationsOrLater | Sections

#: Possible outputs of a backend that ends with ``spectrogram`` or a later stage.
SpectrogramOrLater = LogSpectrogram | LogitsOrLater

#: Possible outputs of a backend that ends with any stage.
StemsOrLater = Stems | SpectrogramOrLater


class Demix(Protocol):
    """Separates a mix into stems."""

    def __call__(self, mix: Mix, task: Task, /) -> Stems:
        """Separate `mix`."""
        ...


class StreamingDemix(Demix, Protocol):
    """A separator that can also process a song with only a part of it in memory at a time.

    A backend that declares ``streams`` returns a callable with this method, which is used for long songs.
    """

    def stream(self, blocks: Callable[[], Iterator[Mix]], task: Task, /) -> Iterator[Stems]:
        """Separate a song that is read block by block.

        Parameters
        ----------
        blocks
            Starts to read the song, in consecutive blocks of any length. Each call starts again, and reads and decodes
            the file. Exceptions that it raises must not be caught.
        task
            As for the call; the fraction is that of the whole song.

        Returns
        -------
        iterator of Stems
            Consecutive stems of any length, which together equal those of the whole song, except for rounding. The
            state between them must not grow with the song. The iterator may be closed early.
        """
        ...


class BatchDemix(Demix, Protocol):
    """A separator that can also process several songs in one call.

    A backend that declares ``batches`` returns a callable with this method. It is used for consecutive short songs, which
    do not keep a device busy one by one.
    """

    def batch(self, mixes: Sequence[Mix], task: Task, /) -> Sequence[Stems]:
        """Separate several songs. If this raises an exception, they are separated one by one.

        Parameters
        ----------
        mixes
            The songs, which may differ in length.
        task
            As for the call; the fraction is that of all songs, the length is that of all songs, and the name is empty.

        Returns
        -------
        sequence of Stems
            For each song, in order, the stems that it has by itself, except for rounding.
        """
        ...


class MeasuringDemix(Demix, Protocol):
    """A separator that can measure the error of its precisions.

    If a callable has the method ``precision_errors``, ``allin1 bench --demix-error`` calls it.
    """

    def precision_errors(self, mix: Mix, task: Task, /) -> Mapping[str, Mapping[str, float]]:
        """Compare the stems of each precision with those in float32.

        Returns
        -------
        mapping
            For each precision that is available here besides float32, and each stem, the level of the stem relative to
            that of its error, in decibels; infinite without an error, minus infinity if the precision overflowed. Empty
            if everything is computed in float32.
        """
        ...


class Spectrogram(Protocol):
    """Computes a log-filterbank spectrogram from stems."""

    def __call__(self, stems: Stems, task: Task, /) -> LogSpectrogram:
        """Transform `stems`."""
        ...


class MixSpectrogram(Protocol):
    """Computes the spectrogram of the four views of a mix: a backend of ``spectrogram`` that takes the mix."""

    def __call__(self, mix: Mix, task: Task, /) -> LogSpectrogram:
        """Transform `mix`."""
        ...


class Nn(Protocol):
    """Runs the network."""

    def __call__(self, spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        """Run the network on `spectrogram`."""
        ...


class MetricalPrep(Protocol):
    """Computes the decoder's activations from beat and downbeat logits."""

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
        """Compute the segments from `logits`."""
        ...


class BeatsAndSections(Protocol):
    """Covers both branches, and possibly earlier stages: a backend whose ``spans`` end in :data:`BOTH_BRANCHES`."""

    def __call__(self, data: Any, task: Task, /) -> Findings:
        """Find beats and sections in the input of its first stage."""
        ...
