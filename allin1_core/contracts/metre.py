"""Beats, their place in the bar, and the parameters of the decoder that finds them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from allin1_core.contracts.arrays import Array, check_array
from allin1_core.errors import ContractError

#: What backends that span the metre decoder and the stage before it declare in ``Backend.features`` if they obey
#: :attr:`MetreParameters.steady_phase`.
STEADY_PHASE = "steady_phase"

#: Threshold of the decoder for the models shipped here.
DEFAULT_THRESHOLD = 0.24


@dataclass(frozen=True)
class TempoPrior:
    """How probable tempi are before a song is heard: normally distributed in octaves around one of them.

    In each frame, a path whose beat lasts I frames gains ``strength`` times the logarithm of the normal density of
    ``log2(60 * frames_per_second / I / bpm)`` with mean 0 and standard deviation ``octaves``. So of two tempi that
    fit the activations about equally well, such as one and its double, the more usual one is found.

    Attributes
    ----------
    bpm
        The most probable tempo, beats per minute.
    octaves
        Standard deviation; 1 is from a tempo to its double.
    strength
        Weight against the activations; 0 switches the prior off.
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


#: No prior over tempo, whatever the model's card says.
NO_TEMPO_PRIOR = TempoPrior(bpm=120.0, octaves=1.0, strength=0.0)


#: The transition parameter of allin1 1.1.0 and of madmom.
DEFAULT_TRANSITION_LAMBDA = 100.0


@dataclass(frozen=True)
class MetreParameters:
    """Parameters of the bar-pointer model, as madmom's ``DBNDownBeatTrackingProcessor`` names them.

    Attributes
    ----------
    beats_per_bar
        Metres to choose from; the most probable one is taken for the whole song.
    min_bpm, max_bpm
        Range of tempi, in beats per minute.
    num_tempi
        Tempi to model, spaced logarithmically; None for one per frame of interval.
    transition_lambda
        Aversion to changes of tempo: higher keeps it steadier. None in a run means "the model's own" until the
        session has filled it in, and elsewhere :data:`DEFAULT_TRANSITION_LAMBDA`; see `steadiness`.
    observation_lambda
        A beat takes the first 1/observation_lambda of its interval.
    threshold
        Only the frames between the first and the last that reach this are decoded; 0 or None for all.
        None in a run means "the model's own" until the session has filled it in.
    correct
        Move each beat to the nearby peak of the activations.
    tempo_prior
        Which tempi are how probable beforehand; None for all equally. None in a run means "the model's own" until
        the session has filled it in; :data:`NO_TEMPO_PRIOR` is none in any case.
    steady_phase
        In a song of one tempo, put passages whose beats were found half a beat beside those of the rest onto the line of
        the rest: :mod:`allin1_core.reference.steady_grid`. The run does this around any decoder that is a step of its own. None in a
        run means "the model's own" until the session has filled it in, and elsewhere no.
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
            With a prior over tempo, which madmom does not know.
        """
        if self.has_tempo_prior:
            raise ContractError(
                "madmom's decoder knows no prior over tempo.",
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
        """`transition_lambda`, or what stands for None."""
        if self.transition_lambda is None:
            return DEFAULT_TRANSITION_LAMBDA
        return self.transition_lambda

    @property
    def has_tempo_prior(self) -> bool:
        """Whether there is a prior over tempo that changes anything."""
        return self.tempo_prior is not None and self.tempo_prior.strength > 0

    def validate(self) -> MetreParameters:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        if not self.beats_per_bar or any(n < 1 for n in self.beats_per_bar):
            raise ContractError(f"beats_per_bar is {self.beats_per_bar}; wanted numbers from 1 on.")
        if not (math.isfinite(self.max_bpm) and 0 < self.min_bpm <= self.max_bpm):
            raise ContractError(
                f"The tempo range is {self.min_bpm} to {self.max_bpm} bpm;"
                " wanted 0 < minimum <= maximum."
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
    """Another tempo that the same music may be heard in, and where its beats are.

    With the beats numbered from 0, those of the alternative are at ``first``, ``first + step``,
    ``first + 2 * step`` and so on, where a fraction lies in proportion between two beats.

    Attributes
    ----------
    relation
        ``half``, ``double``, ``3:2`` (three beats where there are two) or ``2:3``.
    bpm
        Tempo, beats per minute.
    confidence
        0 to 1; of all alternatives of a song and the tempo that was decided on, it is 1 in all. See
        :func:`~allin1_core.reference.tempo_alternatives.tempo_alternatives`.
    first
        Number of the first beat, from 0, or a fraction.
    step
        From one beat to the next.
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
        int64 ``[N]``, place in the bar; downbeats are the beats at 1.
    warnings
        What a person should know of the decoding, one sentence each.
    beat_confidences
        float64 ``[N]``, 0 to 1: ``1 - exp(next - best)``, where *best* is the log probability of the decoded
        path up to the beginning of the next beat, and *next* that of the most probable path which goes on
        from there in the same way, but whose last beat until then is not observed at this beat's frame. (The
        last beat: up to the last frame, and a path that ends in another beat of the bar counts too.) 0 is a
        tie; 1 means that there is no other path. None where the decoder has none.
    metre_log_probabilities
        For each metre that was tried, in the order of the parameters: beats per bar, and the log
        probability of its best path together with the activations, with what it gains from a prior over tempo;
        minus infinity where no path was possible. Empty where nothing was decoded.
    metre_confidence
        0 to 1: one minus the probability ratio of the next metre's best path to the chosen one's. None
        where there was no choice, or no path.
    alternatives
        Other tempi within the range of the parameters, the most probable first; empty where the decoder gives none.
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
        """Times of the beats at position 1, seconds."""
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
            raise ContractError("metre.beat_times_s does not rise.")
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
