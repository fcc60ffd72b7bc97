"""Beats, their positions in the bar, and the parameters of the metre decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from allin1_core.contracts.arrays import Array, check_array
from allin1_core.errors import ContractError

#: Entry in ``Backend.features`` of backends that span the metre decoder and the stage before it, if they implement
#: :attr:`MetreParameters.steady_phase`.
STEADY_PHASE = "steady_phase"

#: Most beats in a bar.
MOST_BEATS = 64

#: Lowest and highest tempo in beats per minute that decoders support.
TEMPI = (1.0, 1000.0)

#: Threshold of the decoder for the models of this package.
DEFAULT_THRESHOLD = 0.24


@dataclass(frozen=True)
class TempoPrior:
    """Prior probability of tempi: a normal distribution in octaves around one tempo.

    In each frame, a path whose beat lasts I frames gains ``strength`` times the logarithm of the normal density of
    ``log2(60 * frames_per_second / I / bpm)`` with mean 0 and standard deviation ``octaves``. Of two tempi that fit the
    activations about equally well, such as one and its double, the more usual one is therefore found.

    Attributes
    ----------
    bpm
        The most probable tempo in beats per minute.
    octaves
        Standard deviation in octaves; 1 is the distance from a tempo to its double.
    strength
        Weight relative to the activations; 0 disables the prior.
    """

    bpm: float
    octaves: float
    strength: float = 0.05

    def validate(self) -> TempoPrior:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        for name, value, lowest, highest in (
            ("bpm", self.bpm, 1, 10_000),
            ("octaves", self.octaves, 0.01, 100),
            ("strength", self.strength, 0, 1000),
        ):
            if not lowest <= value <= highest:
                raise ContractError(f"tempo_prior.{name} is {value}; wanted {lowest} to {highest}.")
        return self


#: Disables the prior over tempo, regardless of the model's card.
NO_TEMPO_PRIOR = TempoPrior(bpm=120.0, octaves=1.0, strength=0.0)


#: The transition parameter of allin1 1.1.0 and of madmom.
DEFAULT_TRANSITION_LAMBDA = 100.0


@dataclass(frozen=True)
class MetreParameters:
    """Parameters of the bar-pointer model, with the names of madmom's ``DBNDownBeatTrackingProcessor``.

    Attributes
    ----------
    beats_per_bar
        Metres to choose from, of 1 to 64 beats; the most probable one is used for the whole song.
    min_bpm, max_bpm
        Range of tempi in beats per minute, within 1 to 1000.
    num_tempi
        Number of tempi in the model, spaced logarithmically; None for one per interval in frames.
    transition_lambda
        Resistance to changes of tempo: a higher value keeps it steadier. In a run, None means the model's own value,
        which the session fills in; elsewhere, :data:`DEFAULT_TRANSITION_LAMBDA`; see `steadiness`.
    observation_lambda
        A beat takes the first 1/observation_lambda of its interval.
    threshold
        Only frames between the first and the last that reach this value are decoded; 0 or None for all. In a run, None
        means the model's own value, which the session fills in.
    correct
        Whether to move each beat to the nearby peak of the activations.
    tempo_prior
        Prior probability of tempi; None for a uniform prior. In a run, None means the model's own prior, which the
        session fills in; :data:`NO_TEMPO_PRIOR` disables it in any case.
    steady_phase
        Whether, in a song with a steady tempo, beats of passages that are half a beat off the rest are moved onto the
        grid of the rest: :mod:`allin1_core.reference.steady_grid`. The pipeline does this around any decoder that is a
        separate step. In a run, None means the model's own value, which the session fills in; elsewhere, False.
    """

    beats_per_bar: tuple[int, ...] = (3, 4)
    min_bpm: float = 55.0
    max_bpm: float = 215.0
    num_tempi: int | None = 60
    transition_lambda: float | None = None
    observation_lambda: int = 16
    threshold: float | None = None
    correct: bool = True
    tempo_prior: TempoPrior | None = None
    steady_phase: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.beats_per_bar, list):
            object.__setattr__(self, "beats_per_bar", tuple(self.beats_per_bar))

    def madmom_arguments(self, frames_per_second: float) -> dict[str, Any]:
        """Keyword arguments of madmom's ``DBNDownBeatTrackingProcessor`` for these parameters.

        Raises
        ------
        ContractError
            There is a prior over tempo, which madmom does not support.
        """
        if self.has_tempo_prior:
            raise ContractError(
                "madmom's decoder does not support a prior over tempo.",
                remedy="Decode without one: --tempo-prior none",
            )
        names = ("min_bpm", "max_bpm", "num_tempi", "observation_lambda")
        return {
            "beats_per_bar": list(self.beats_per_bar),
            "transition_lambda": self.steadiness,
            **{name: getattr(self, name) for name in (*names, "threshold", "correct")},
            "fps": frames_per_second,
        }

    @property
    def steadiness(self) -> float:
        """`transition_lambda`, or its default if it is None."""
        if self.transition_lambda is None:
            return DEFAULT_TRANSITION_LAMBDA
        return self.transition_lambda

    @property
    def has_tempo_prior(self) -> bool:
        """Whether there is a prior over tempo that has an effect."""
        return self.tempo_prior is not None and self.tempo_prior.strength > 0

    def validate(self) -> MetreParameters:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        if not self.beats_per_bar or any(not 1 <= n <= MOST_BEATS for n in self.beats_per_bar):
            given = ",".join(map(str, self.beats_per_bar)) or "empty"
            raise ContractError(f"beats_per_bar is {given}; wanted numbers from 1 to {MOST_BEATS}.")
        if not TEMPI[0] <= self.min_bpm <= self.max_bpm <= TEMPI[1]:
            raise ContractError(
                f"The tempo range is {self.min_bpm} to {self.max_bpm} bpm;"
                f" wanted {TEMPI[0]:g} <= minimum <= maximum <= {TEMPI[1]:g}."
            )
        if self.num_tempi is not None and self.num_tempi < 1:
            raise ContractError(f"num_tempi is {self.num_tempi}; wanted 1 or more, or None.")
        if not (math.isfinite(self.steadiness) and self.steadiness > 0):
            raise ContractError(f"transition_lambda is {self.transition_lambda}; wanted above 0.")
        if self.observation_lambda < 2:
            raise ContractError(
                f"observation_lambda is {self.observation_lambda}; wanted 2 or more."
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ContractError(f"threshold is {self.threshold}; wanted 0 to 1.")
        if self.tempo_prior is not None:
            self.tempo_prior.validate()
        return self


@dataclass(frozen=True)
class TempoAlternative:
    """Another tempo in which the same music may be heard, and the positions of its beats.

    With the beats numbered from 0, those of the alternative are at ``first``, ``first + step``, ``first + 2 * step``
    and so on, where fractions are interpolated between two beats.

    Attributes
    ----------
    relation
        ``half``, ``double``, ``3:2`` (three beats instead of two) or ``2:3``.
    bpm
        Tempo in beats per minute.
    confidence
        0 to 1; the confidences of all alternatives of a song and of its decoded tempo sum to 1. See
        :func:`~allin1_core.reference.tempo_alternatives.tempo_alternatives`.
    first
        Number of its first beat, from 0; may be a fraction.
    step
        Distance between its beats, in beats.
    """

    relation: str
    bpm: float
    confidence: float
    first: float
    step: float


@dataclass(frozen=True, eq=False)
class Metre:
    """Beats in time order.

    Attributes
    ----------
    beat_times_s
        float64 ``[N]``, seconds.
    beat_positions
        int64 ``[N]``, positions in the bar from 1; downbeats are the beats at 1.
    warnings
        Sentences about the decoding for the user.
    beat_confidences
        float64 ``[N]``, 0 to 1: ``1 - exp(next - best)``, where *best* is the log probability of the decoded path up to
        the beginning of the next beat, and *next* that of the most probable path that continues from there in the same
        way, but whose previous beat is not observed at the frame of this beat. (For the last beat: up to the last
        frame, and paths that end in another beat of the bar count as well.) 0 is a tie; 1 means that there is no other
        path. None if the decoder provides none.
    metre_log_probabilities
        For each metre that was tried, in the order of the parameters: beats per bar, and the log probability of its
        best path together with the activations, including the gain from a prior over tempo; minus infinity if no path
        was possible. Empty if nothing was decoded.
    metre_confidence
        0 to 1: one minus the ratio of the probability of the next metre's best path to that of the chosen one. None if
        there was no choice, or no path.
    alternatives
        Other tempi within the range of the parameters, the most probable first; empty if the decoder provides none.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("beat_times_s", "beat_positions", "beat_confidences")

    beat_times_s: Array
    beat_positions: Array
    warnings: tuple[str, ...] = ()
    beat_confidences: Array | None = None
    metre_log_probabilities: tuple[tuple[int, float], ...] = ()
    metre_confidence: float | None = None
    alternatives: tuple[TempoAlternative, ...] = ()

    @property
    def downbeat_times_s(self) -> Array:
        """Times in seconds of the beats at position 1."""
        return self.beat_times_s[self.beat_positions == 1]

    def validate(self) -> Metre:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        count = int(self.beat_times_s.shape[0])
        if count:
            check_array(
                "metre.beat_times_s", self.beat_times_s, (count,), ("float64",), finite=True
            )
        check_array("metre.beat_positions", self.beat_positions, (count,), ("int64",))
        if count > 1 and not (self.beat_times_s[1:] > self.beat_times_s[:-1]).all():
            raise ContractError("metre.beat_times_s is not increasing.")
        if count and not (self.beat_positions >= 1).all():
            raise ContractError("metre.beat_positions holds values below 1.")
        if self.beat_confidences is not None:
            check_array("metre.beat_confidences", self.beat_confidences, (count,), ("float64",))
            if not ((self.beat_confidences >= 0) & (self.beat_confidences <= 1)).all():
                raise ContractError("metre.beat_confidences holds values outside 0 to 1.")
        if self.metre_confidence is not None and not 0 <= self.metre_confidence <= 1:
            raise ContractError(
                f"metre.metre_confidence is {self.metre_confidence}; wanted 0 to 1."
            )
        for one in self.alternatives:
            if not (0 <= one.confidence <= 1 and one.bpm > 0 and one.first >= 0 and one.step > 0):
                raise ContractError(f"metre.alternatives holds {one}.")
        return self
