"""The choice of the model for a track: the one that was named, or else the best that can run here.

``auto`` chooses ``harmonix-all`` if its weights are on this machine, and the stems are given or the song can be
separated with what is installed; otherwise ``builtin``, which is part of the package and takes the mix. It never
downloads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allin1_core.contracts.model import AUTO_MODEL, AUTO_MODELS, ModelCard
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.errors import SelectionError, WeightsError
from allin1_core.installing import install_command
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.plan import Wanted, record_of, stages_from, takes
from allin1_core.selection.candidate import Candidate
from allin1_core.weights.find import find_card
from allin1_core.weights.separation import has_separator_weights
from allin1_core.weights.store import find_folders, is_here

#: Creates the engine of a model; the flag tells whether it may download what is missing.
Build = Callable[[ModelCard, bool], Engine]


@dataclass(frozen=True)
class ModelChoice:
    """The model for a track.

    Attributes
    ----------
    engine
        The engine that runs it.
    reason
        Why it was chosen, as a sentence; empty if it was named.
    other
        How to use the other model instead, as a sentence; empty if the model was named.
    trouble
        Why it cannot run, if the request leaves only this model and weights that it needs are missing.
    """

    engine: Engine
    reason: str = ""
    other: str = ""
    trouble: WeightsError | None = None

    @property
    def card(self) -> ModelCard:
        """The model."""
        return self.engine.card

    def __str__(self) -> str:
        return f"{self.reason} {self.other}".strip()


@dataclass(frozen=True)
class Obstacles:
    """What prevents a model from analysing without a download; false if nothing does.

    Attributes
    ----------
    weights
        Models whose weights are missing: the model itself, or the one that separates songs.
    other
        Any other obstacle, as part of a sentence.
    remedy
        Command that removes the other obstacle; empty if there is none.
    """

    weights: tuple[str, ...] = ()
    other: str = ""
    remedy: str = ""

    def __bool__(self) -> bool:
        return bool(self.weights or self.other)

    def __str__(self) -> str:
        are_missing = f"the weights of {' and '.join(self.weights)} are not on this machine"
        return ", and ".join(filter(None, (self.other, are_missing if self.weights else "")))

    @property
    def way_out(self) -> str:
        """Commands that remove the obstacles; empty if there are none."""
        if self.other and not self.remedy:
            return ""
        fetch = f"allin1 weights fetch {' '.join(self.weights)}" if self.weights else ""
        return " && ".join(filter(None, (self.remedy, fetch)))


class Models:
    """The engines of a session, each created when its model is first chosen.

    It may be used by several threads.

    Parameters
    ----------
    build
        Creates an engine.
    cards
        The available models.
    named
        Name of the model to use for every track, or ``auto``.
    separation
        Which option that only a separation can fulfil was requested, such as ``keep_stems``; empty for none. ``auto``
        then chooses separation even if something is missing, so that the run reports what it is.

    Raises
    ------
    SelectionError
        There is no model called `named`.
    """

    def __init__(
        self, build: Build, cards: list[ModelCard], named: str, separation: str = ""
    ) -> None:
        self._build = build
        self._separation = separation
        self._engines: dict[str, Engine] = {}
        self._choices: dict[tuple[type[Any], tuple[str, ...] | None, int], ModelChoice] = {}
        self._lock = threading.RLock()
        self._named = None if named == AUTO_MODEL else find_card(named, cards)
        # For auto: the better model, and the one that can always run.
        self._better: ModelCard | None = None
        if self._named is not None:
            self._usual = self._named
        else:
            self._better, self._usual = (find_card(name, cards) for name in AUTO_MODELS)
        # Created now, so that errors are raised when the session is opened.
        self._engine(self._usual)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines that have been created so far."""
        return tuple(self._engines.values())

    @property
    def eligible(self) -> tuple[Engine, ...]:
        """The engines of all models that may be chosen, the better one first."""
        with self._lock:
            cards = [self._usual] if self._better is None else [self._better, self._usual]
            return tuple(self._engine(card) for card in cards)

    def choose(self, start: type[Any], outputs: tuple[str, ...] | None = None) -> ModelChoice:
        """Choose the model for a run that is about to start; parameters as for :meth:`preferred`.

        Raises
        ------
        WeightsError
            The request leaves only one model, and weights that it needs are missing.
        """
        choice = self.preferred(start, outputs)
        if choice.trouble is not None:
            raise choice.trouble
        return choice

    def preferred(self, start: type[Any], outputs: tuple[str, ...] | None = None) -> ModelChoice:
        """Choose the model, whether or not its weights are available.

        Parameters
        ----------
        start
            Type of the input of the run.
        outputs
            Requested outputs; None for everything that the model provides.
        """
        with self._lock:
            usual = self._engine(self._usual)
            if self._better is None:
                return ModelChoice(usual)
            better = self._engine(self._better)
            # Failures since then may change the choice.
            changes = better.chooser.changes + usual.chooser.changes
            question = (start, outputs, changes)
            if question not in self._choices:
                self._choices[question] = self._choose(better, usual, start, outputs)
            return self._choices[question]

    def instead(
        self,
        choice: ModelChoice,
        error: SelectionError,
        start: type[Any],
        outputs: tuple[str, ...] | None = None,
    ) -> ModelChoice | None:
        """Choose the model to continue with if no backend remains for `choice`; None if it must not be replaced.

        Parameters
        ----------
        choice
            The choice made for the run.
        error
            Why the run cannot continue.
        start, outputs
            As for :meth:`preferred`.
        """
        with self._lock:
            if self._better is None or choice.card.name != self._better.name or self._separation:
                return None
            usual = self._engine(self._usual)
            if find_obstacles(usual, start, outputs):
                return None
            reason = f"{choice.card.name} could not continue: {error.message}"
            return ModelChoice(usual, reason, f"Why: allin1 explain -m {choice.card.name}")

    def _choose(
        self, better: Engine, usual: Engine, start: type[Any], outputs: tuple[str, ...] | None
    ) -> ModelChoice:
        name, other = better.card.name, usual.card.name
        is_audio = record_of(start, usual.card) is takes("spectrogram", usual.card)
        if not is_audio:
            return ModelChoice(better, "The run does not start from audio.", f"Or: -m {other}")
        separates = record_of(start, better.card) is takes("demix", better.card)
        obstacles = find_obstacles(better, start, outputs)
        if separates and self._separation:
            reason = f"Separation was requested ({self._separation})."
            trouble = _missing(reason, obstacles, name) if obstacles.weights else None
            return ModelChoice(better, reason, f"Without it: -m {other}", trouble)
        if not obstacles:
            way = "songs can be separated here" if separates else "the stems were given"
            reason = f"Its weights are on this machine, and {way}."
            return ModelChoice(better, reason, f"From the mix, and faster: -m {other}")
        only_weights = bool(obstacles.weights) and not obstacles.other
        if only_weights and (excluded := find_obstacles(usual, start, outputs)):
            reason = f"{other} cannot be used: {excluded}."
            return ModelChoice(better, reason, trouble=_missing(reason, obstacles, name))
        way_out = obstacles.way_out
        return ModelChoice(
            usual,
            f"{name} is not used: {obstacles}.",
            f"To use it: {way_out}" if way_out else f"Why: allin1 explain -m {name}",
        )

    def _engine(self, card: ModelCard) -> Engine:
        if card.name not in self._engines:
            self._engines[card.name] = self._build(card, self._named is not None)
        return self._engines[card.name]


def _missing(reason: str, obstacles: Obstacles, name: str) -> WeightsError:
    """The error that the request leaves only one model, and weights that it needs are missing."""
    run = f"Run {obstacles.way_out}" if obstacles.way_out else ""
    return WeightsError(
        f"{reason} That leaves {name}, but {obstacles}.",
        remedy=f"{run}. Or name the model, which then downloads its weights: -m {name}"
        if run
        else None,
    )


def find_obstacles(
    engine: Engine, start: type[Any], outputs: tuple[str, ...] | None = None
) -> Obstacles:
    """Find what prevents the model of `engine` from analysing such an input; `outputs` as for :meth:`Models.choose`."""
    card, backends = engine.card, engine.backends
    folders = find_folders(backends.weights_dir)
    weights = () if is_here(card, folders) else (card.name,)
    wanted = Wanted(frozenset(card.outputs if outputs is None else outputs))
    request = engine.chooser.request(stages_from(start, wanted, card), USUAL_AUDIO_S)
    demix = backends.demix
    try:
        decision = engine.chooser.decide(request)
    except SelectionError as error:
        separators = engine.chooser.candidates(request).get("demix", ())
        # A separator that has failed does not lack weights.
        if "demix" not in request.stages or any(
            c.is_eligible or (c.refusal is not None and c.refusal.gate == "failed")
            for c in separators
        ):
            return Obstacles(weights, error.message.rstrip("."))
        separator = backends.separators.get(demix.model)
        if demix.weights is None and not (separator and is_here(separator, folders)):
            weights = (*weights, demix.model)
        return _no_separation(separators, weights)
    for step in decision.chosen.steps:
        if "demix" in step.backend.stages and not has_separator_weights(
            step.backend, demix, backends.separators, backends.weights_dir
        ):
            if demix.weights is not None:
                return Obstacles(weights, f"there is no folder {demix.weights}")
            weights = (*weights, demix.model)
    return Obstacles(weights)


def _no_separation(candidates: tuple[Candidate, ...], weights: tuple[str, ...]) -> Obstacles:
    """The obstacle that no backend can separate, and the command that installs one if none is installed."""
    refused = [(c.backend.name, c.refusal) for c in candidates if c.refusal is not None]
    lacking = [refusal for _, refusal in refused if refusal.gate == "needs"]
    if not refused or lacking:
        reason = f" ({lacking[0].reason.rstrip('.')})" if lacking else ""
        install = install_command("allin1-torch", "demucs")
        return Obstacles(weights, f"nothing that separates songs is installed{reason}", install)
    name, refusal = refused[0]
    return Obstacles(weights, f"songs cannot be separated ({name}: {refusal.reason.rstrip('.')})")
