"""Parameters of the separation: the model, how a song is split into segments, and the precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from allin1_core.errors import ContractError

Precision = Literal["auto", "float32", "tf32", "float16"]

#: Prefix of `weights` for seeded random weights instead of a folder: ``random:1234``.
RANDOM_PREFIX = "random:"


@dataclass(frozen=True)
class DemixParameters:
    """Parameters of the separation, with the names of ``demucs.api.Separator`` where it has them.

    Attributes
    ----------
    model
        Name of a Demucs model or bag of models.
    weights
        Folder with the model's files; None for those of the model's card, which are downloaded if necessary.
        ``random:SEED`` (SEED is a whole number, 0 or more) creates the model with seeded random weights instead, for
        tests.
    shifts
        Number of separations, each shifted by a random time of up to half a second, of which the mean is returned; 0
        separates once, without a shift.
    overlap
        Overlap of consecutive segments, as a fraction from 0 to 0.99.
    seed
        Seed of the random shifts: the same seed results in the same stems.
    segment_s
        Length of a segment in seconds; None for the model's own, which is also the maximum for transformer models.
    precision
        Lowest precision that is allowed. A higher one is used where the hardware gains nothing from it: on a CPU, it is
        always float32. ``auto`` lets the backend decide.
    batch_size
        Maximum number of segments to separate at once; None lets the backend decide.
    trust_weights
        Also load files that can execute arbitrary code when they are loaded, because they are pickles that contain more
        than tensors and numbers, or name classes other than the separator's own. Only for files from authors you trust.
    """

    model: str = "htdemucs"
    weights: str | None = None
    shifts: int = 1
    overlap: float = 0.25
    seed: int = 0
    segment_s: float | None = None
    precision: Precision = "auto"
    batch_size: int | None = None
    trust_weights: bool = False

    @property
    def random_seed(self) -> int | None:
        """Seed of random weights; None if the weights are not random."""
        if self.weights is None or not self.weights.startswith(RANDOM_PREFIX):
            return None
        return int(self.weights.removeprefix(RANDOM_PREFIX))

    def validate(self) -> DemixParameters:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        if not self.model:
            raise ContractError("The Demucs model has no name.")
        if self.weights is not None and self.weights.startswith(RANDOM_PREFIX):
            number = self.weights.removeprefix(RANDOM_PREFIX)
            if not (number.isascii() and number.isdecimal() and int(number) < 2**63):
                raise ContractError(
                    f"weights is {self.weights}; wanted random:SEED, such as random:1234."
                )
        if self.shifts < 0:
            raise ContractError(f"shifts is {self.shifts}; wanted 0 or more.")
        if not 0 <= self.overlap <= 0.99:
            raise ContractError(f"overlap is {self.overlap}; wanted 0 to 0.99.")
        if self.seed < 0:
            raise ContractError(f"seed is {self.seed}; wanted 0 or more.")
        if self.segment_s is not None and not (
            math.isfinite(self.segment_s) and self.segment_s >= 0.1
        ):
            raise ContractError(f"segment_s is {self.segment_s}; wanted 0.1 or more, or None.")
        if self.precision not in get_args(Precision):
            raise ContractError(
                f"precision is {self.precision}; wanted {', '.join(get_args(Precision))}."
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ContractError(f"batch_size is {self.batch_size}; wanted 1 or more, or None.")
        return self
