"""Trained models: what they are called, where their parameters are, and the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.metre import DEFAULT_TRANSITION_LAMBDA, MetreParameters, TempoPrior
from allin1_core.contracts.rules import (
    FileName,
    Labels,
    Line,
    ModelName,
    Module,
    OptionalDigest,
    Outputs,
    Rate,
    Share,
    Size,
    Target,
    Word,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What a model's spectrogram is made from: the four stems of a song, or its mix.
Takes = Literal["stems", "mix"]

#: What names no model, and leaves it to :mod:`allin1_core.runtime.model_choice`.
AUTO_MODEL = "auto"

#: The models that ``auto`` may choose: the one that is better where it can run, and the one that always can.
AUTO_MODELS = ("harmonix-all", "builtin")


@dataclass(frozen=True)
class WeightsFile:
    """A file of parameters.

    Attributes
    ----------
    name
        File name, the same wherever it lies.
    sha256
        Hexadecimal digest of the whole file; empty where none is published. Then that of the first copy read is kept,
        and every later copy must have it.
    size
        Bytes; 0 where not known.
    urls
        Where it can be fetched, the first first. Addresses name a revision, where there are revisions.
    places
        Patterns (as in :mod:`glob`) of paths where other programs keep this file. It is read there, never written.
    alternatives
        Other files of the same parameters, read where they are here and this one is not; never fetched.
    package
        Import name of the package whose folder holds the file, where it is installed with a distribution; such a
        file is looked for nowhere else, and never downloaded. None for all others.
    """

    name: FileName
    sha256: OptionalDigest
    size: Size
    urls: tuple[Line, ...] = ()
    places: tuple[Line, ...] = ()
    alternatives: tuple[WeightsFile, ...] = ()
    package: Module | None = None


@dataclass(frozen=True)
class WeightsContent:
    """A file of parameters that was read and checked.

    Attributes
    ----------
    name
        File name.
    content
        All of its bytes. Whoever parses them does not open the file again, since it may have changed.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class SeparatorCard:
    """A model that separates mixes, whose files the core finds, fetches and checks.

    Attributes
    ----------
    name
        ``htdemucs``: what ``DemixParameters.model`` says.
    summary
        One line for a table.
    files
        In the order in which backends get them.
    licence, source
        As for a :class:`ModelCard`.
    """

    name: Word
    summary: Line
    files: tuple[WeightsFile, ...]
    licence: str
    source: str


@dataclass(frozen=True)
class ModelCard:
    """A model that a user can name.

    Attributes
    ----------
    name
        ``harmonix-all``.
    summary
        One line for a table.
    architecture
        Which network the parameters belong to; ``all-in-one`` for the models shipped here.
    files
        One file for each member of the ensemble, in order; empty if the parameters come with a plugin.
    downbeat_threshold
        Threshold on the activations for the metre decoder.
    licence
        What is known of the licence, for people to read before they use it.
    source
        Where the parameters come from.
    outputs
        What an analysis with it can give: ``beats``, ``sections``.
    context_frames
        How far before and after a frame its logits depend on the spectrogram, so that long songs can be cut into
        blocks; None where they depend on all of it.
    reader
        ``"package.module:function"``, which makes the :data:`Parameters` of the checked bytes of one file, or whatever
        else the backends of the model's architecture take; None for archives of NumPy arrays (.npz), which the core reads.
        Imported once a model is loaded.
    transition_lambda
        Aversion of the metre decoder to changes of tempo, unless the user says otherwise.
    tempo_prior
        Prior over tempo of the metre decoder, unless the user says otherwise; None for none.
    takes
        What its spectrogram is made of: the four ``stems``, or the ``mix``. A model that takes the mix reads its four views
        (:data:`~allin1_core.contracts.spectrogram.VIEWS`), and runs without separation.
    version
        Version of the parameters, where the same name may stand for others in a later release; else empty.
    labels
        Labels of sections, in the order of the rows of ``Logits.function``.
    steady_phase
        Whether beats are put onto one line where the tempo is steady, unless the user says otherwise; see
        :class:`~allin1_core.contracts.metre.MetreParameters`.
    """

    name: ModelName
    summary: Line
    files: tuple[WeightsFile, ...]
    downbeat_threshold: Share
    licence: str
    source: str
    architecture: Line = "all-in-one"
    outputs: Outputs = ("beats", "sections")
    context_frames: Size | None = None
    reader: Target | None = None
    tempo_prior: TempoPrior | None = None
    transition_lambda: Rate = DEFAULT_TRANSITION_LAMBDA
    takes: Takes = "stems"
    version: Line = ""
    labels: Labels = HARMONIX_LABELS
    steady_phase: bool = False

    def complete(self, metre: MetreParameters) -> MetreParameters:
        """Fill in what `metre` leaves to the model: threshold, transition parameter, prior over tempo, and steady phase."""
        if metre.threshold is None:
            metre = replace(metre, threshold=self.downbeat_threshold)
        if metre.transition_lambda is None:
            metre = replace(metre, transition_lambda=self.transition_lambda)
        if metre.tempo_prior is None:
            metre = replace(metre, tempo_prior=self.tempo_prior)
        if metre.steady_phase is None:
            metre = replace(metre, steady_phase=self.steady_phase)
        return metre


#: Parameters of one network, by their name in the original's state dict, as plain NumPy arrays.
#: Convolution kernels are laid out output, height, width, input.
Parameters = Mapping[str, "NDArray[np.float32]"]


@dataclass(frozen=True, eq=False)
class Model:
    """A model with its parameters in memory.

    Attributes
    ----------
    card
        What it is.
    members
        For each member of the ensemble its :data:`Parameters`, or what :attr:`ModelCard.reader` made of its file.
    """

    card: ModelCard
    members: tuple[Any, ...]
