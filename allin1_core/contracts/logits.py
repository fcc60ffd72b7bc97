"""The outputs of the network for each frame, and the input of the metre decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from allin1_core.contracts.arrays import (
    PROBABILITY_ROUNDING,
    Array,
    check_array,
    check_probabilities,
    length_of,
)
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.errors import ContractError

#: Functional labels of a section, in the order of the network's outputs (Harmonix set).
HARMONIX_LABELS = (
    "start",
    "end",
    "intro",
    "outro",
    "break",
    "bridge",
    "inst",
    "solo",
    "verse",
    "chorus",
)

#: Length of the embedding of one stem in one frame.
EMBEDDING_SIZE = 24


@dataclass(frozen=True, eq=False)
class Logits:
    """The network's outputs before any sigmoid or softmax; for an ensemble, the mean over its members.

    Attributes
    ----------
    beat, downbeat, section
        float32 ``[T]``, 100 frames per second.
    function
        float32 ``[labels, T]``, in the order of the labels of the model (:attr:`ModelCard.labels`): for the models of
        this package ``[10, T]``, in the order of :data:`HARMONIX_LABELS`.
    embeddings
        float32 ``[any, T, any]``, or ``[any, T, any, members]`` for an ensemble; ``[4, T, 24]`` for the architecture
        ``all-in-one``. None unless requested.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("beat", "downbeat", "section", "function", "embeddings")
    TIME_AXES: ClassVar[Mapping[str, int]] = {
        "beat": 0,
        "downbeat": 0,
        "section": 0,
        "function": 1,
        "embeddings": 1,
    }

    beat: Array
    downbeat: Array
    section: Array
    function: Array
    embeddings: Array | None = None

    @property
    def duration_s(self) -> float:
        """Length in seconds, in whole frames."""
        return length_of(self) / FRAMES_PER_SECOND

    def validate(self) -> Logits:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        check_array("logits.beat", self.beat, (None,), finite=True)
        frames = int(self.beat.shape[0])
        check_array("logits.downbeat", self.downbeat, (frames,), finite=True)
        check_array("logits.section", self.section, (frames,), finite=True)
        check_array("logits.function", self.function, (None, frames), finite=True)
        if self.embeddings is not None:
            axes = (None, frames, None)
            members = (None,) if len(self.embeddings.shape) == 4 else ()
            check_array("logits.embeddings", self.embeddings, (*axes, *members), finite=True)
        return self


@dataclass(frozen=True, eq=False)
class Activations:
    """Probability of a beat that is not a downbeat, and of a downbeat, for each frame.

    Attributes
    ----------
    values
        float32 or float64 ``[T, 2]``; each row sums to at most 1, and the rest is the probability of "no beat".
    frames_per_second
        Frame rate in Hz; the pipeline uses 100.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("values",)
    TIME_AXES: ClassVar[Mapping[str, int]] = {"values": 0}

    values: Array
    frames_per_second: float = FRAMES_PER_SECOND

    @property
    def duration_s(self) -> float:
        """Length in seconds, in whole frames."""
        return length_of(self) / self.frames_per_second

    def validate(self) -> Activations:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`.

        Values are not checked: decoders have defined results for zeros, NaN and infinities. :meth:`check_values` checks
        the output of backends.
        """
        check_array("activations.values", self.values, (None, 2), ("float32", "float64"))
        if not self.frames_per_second > 0:
            raise ContractError(
                f"activations.frames_per_second is {self.frames_per_second}; wanted above 0."
            )
        return self

    def check_values(self) -> None:
        """Raise :class:`~allin1_core.errors.ContractError` unless the values, in NumPy, are probabilities."""
        check_probabilities("activations.values", self.values)
        sums = self.values[:, 0] + self.values[:, 1]
        frame = int(sums.argmax())
        if sums[frame] > 1 + PROBABILITY_ROUNDING:
            raise ContractError(
                f"activations.values sums to {float(sums[frame]):g} at frame {frame}; wanted at most 1."
            )
