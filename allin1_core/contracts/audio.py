"""Audio: the mix, and the four stems into which a separator splits it.

Conventions: float32, 44 100 Hz, full scale ±1, channels first. Stems are ordered bass, drums, other, vocals, which is
the order that the network was trained on (Demucs returns drums, bass, other, vocals).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from allin1_core.contracts.arrays import Array, check_array, length_of
from allin1_core.errors import ContractError

#: Sample rate in Hz of all audio after decoding.
SAMPLE_RATE = 44_100

#: Order of the first axis of stems and spectrograms.
STEMS = ("bass", "drums", "other", "vocals")


@dataclass(frozen=True, eq=False)
class Mix:
    """A song.

    Attributes
    ----------
    samples
        float32 ``[2, n]``, 44 100 Hz.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("samples",)
    TIME_AXES: ClassVar[Mapping[str, int]] = {"samples": 1}

    samples: Array

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return length_of(self) / SAMPLE_RATE

    def validate(self) -> Mix:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        check_array("mix.samples", self.samples, (2, None), finite=True)
        return self


@dataclass(frozen=True, eq=False)
class Stems:
    """The four stems of a song, in the order of :data:`STEMS`.

    Attributes
    ----------
    samples
        float32 ``[4, channels, n]``, 44 100 Hz; one channel or two.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("samples",)
    TIME_AXES: ClassVar[Mapping[str, int]] = {"samples": 2}

    samples: Array

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return length_of(self) / SAMPLE_RATE

    def validate(self) -> Stems:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        check_array("stems.samples", self.samples, (len(STEMS), None, None), finite=True)
        if int(self.samples.shape[1]) not in (1, 2):
            raise ContractError(
                f"stems.samples has {int(self.samples.shape[1])} channels; wanted 1 or 2."
            )
        return self
