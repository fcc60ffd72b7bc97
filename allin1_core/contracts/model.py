"""Trained models: their names, their files, and their parameters."""

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

#: Input of a model's spectrogram: the four stems of a song, or its mix.
Takes = Literal["stems", "mix"]

#: Name that leaves the choice of the model to :mod:`allin1_core.runtime.model_choice`.
AUTO_MODEL = "auto"

#: The models that ``auto`` may choose: the better one, if it can run, and the one that always can.
AUTO_MODELS = ("harmonix-all", "builtin")


@dataclass(frozen=True)
class WeightsFile:
    """A file of parameters.

    Attributes
    ----------
    name
        File name, the same in every location.
    sha256
        Hexadecimal digest of the whole file; empty if none is published. In that case, the digest of the first copy
        that is read is stored, and all later copies must match it.
    size
        Size in bytes; 0 if unknown.
    urls
        URLs for the download, in order of preference. They name a revision, if the host has revisions.
    places
        Patterns (as in :mod:`glob`) of paths where other programs store this file. It is read there, but never written.
    alternatives
        Other files with the same parameters, which are read if they exist and this one does not; never downloaded.
    package
        Import name of the package whose folder contains the file, if it is installed with a distribution; such a file
        is not looked up anywhere else, and never downloaded. None for all others.
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
        All bytes of the file. Parsers must not open the file again, because it may have changed.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class SeparatorCard:
    """A separation model whose files the core locates, downloads and checks.

    Attributes
    ----------
    name
        Name of the model, as in ``DemixParameters.model``: ``htdemucs``.
    summary
        One line for a table.
    files
        Files in the order in which backends receive them.
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
        Name of the model: ``harmonix-all``.
    summary
        One line for a table.
    architecture
        The network to which the parameters belong; ``all-in-one`` for the models of this package.
    files
        One file for each member of the ensemble, in order; empty if the parameters are part of a plugin.
    downbeat_threshold
        Threshold on the activations for the metre decoder.
    licence
        What is known about the licence, for users to read before they use the model.
    source
        Origin of the parameters.
    outputs
        Outputs of an analysis with the model: ``beats``, ``sections``.
    context_frames
        Number of frames on either side on which the logits of a frame depend, so that long songs can be split into
        blocks; None if they depend on the whole song.
    reader
        ``"package.module:function"``, which converts the checked bytes of one file to :data:`Parameters`, or to
        whatever else the backends of the model's architecture take; None for archives of NumPy arrays (.npz), which the
        core reads. Imported when a model is loaded.
    transition_lambda
        Resistance of the metre decoder to changes of tempo, unless the user overrides it.
    tempo_prior
        Prior over tempo of the metre decoder, unless the user overrides it; None for none.
    takes
        Input of its spectrogram: the four ``stems``, or the ``mix``. A model that takes the mix reads its four views
        (:data:`~allin1_core.contracts.spectrogram.VIEWS`), and needs no separation.
    version
        Version of the parameters, if the same name may refer to others in a later release; otherwise empty.
    labels
        Labels of sections, in the order of the rows of ``Logits.function``.
    steady_phase
        Whether beats are moved onto one grid if the tempo is steady, unless the user overrides it; see
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
        """Fill in what `metre` leaves to the model: threshold, transition, prior over tempo, steady phase."""
        if metre.threshold is None:
            metre = replace(metre, threshold=self.downbeat_threshold)
        if metre.transition_lambda is None:
            metre = replace(metre, transition_lambda=self.transition_lambda)
        if metre.tempo_prior is None:
            metre = replace(metre, tempo_prior=self.tempo_prior)
        if metre.steady_phase is None:
            metre = replace(metre, steady_phase=self.steady_phase)
        return metre


#: Parameters of one network as NumPy arrays, by their names in the original's state dict. The axes of convolution
#: kernels are output, height, width, input.
Parameters = Mapping[str, "NDArray[np.float32]"]


@dataclass(frozen=True, eq=False)
class Model:
    """A model with its parameters in memory.

    Attributes
    ----------
    card
        The card of the model.
    members
        For each member of the ensemble its :data:`Parameters`, or what :attr:`ModelCard.reader` returned for its file.
    """

    card: ModelCard
    members: tuple[Any, ...]
