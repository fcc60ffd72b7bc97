"""What a separator is asked for: the model, how a song is cut into segments, and how exactly to compute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from allin1_core.errors import ContractError

Precision = Literal["auto", "float32", "tf32", "float16"]

#: What names seeded random weights instead of a folder: ``random:1234``.
RANDOM_PREFIX = "random:"


@dataclass(frozen=True)
class DemixParameters:
    """Parameters of the separation, as ``demucs.api.Separator`` names them where it has them.

    Attributes
    ----------
    model
        Name of a Demucs model or bag of models.
    weights
        Folder with the model's files; None for those of the model's card, which are fetched if need be.
        ``random:SEED`` (SEED a whole number from 0 on) builds the model with seeded random weights instead: for tests
        of everything around it.
    shifts
        Separate so many times, each shifted by a random time up to half a second, and take the mean; 0
        separates once, unshifted.
    overlap
        How much of a segment overlaps with the next, 0 to 0.99.
    seed
        Of the random shifts: the same seed gives the same stems.
    segment_s
        Length of a segment in seconds; None for the model's own, which is also the most that transformer
        models can do.
    precision
        Least exact arithmetic that is allowed. Where the hardware gains nothing from it, the computation is
        more exact: on a CPU it is always float32. ``auto`` leaves it to the backend.
    batch_size
        Most segments to separate at once; None leaves it to the backend.
    trust_weights
        Also load files that can run any code when they are loaded, because they are pickles of more than tensors and
        numbers, or name classes that are not the separator's own. Only for files whose author is trusted.
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
        """Seed of the weights where they are random, else None."""
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
