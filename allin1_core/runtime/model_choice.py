"""Which model analyses a track: the one that was named, or, where none was, the best that can run on it here.

``auto`` takes ``harmonix-all`` where its weights are on this machine, and the stems are given or the song can be separated
with what is here; else ``builtin``, which comes with the package and takes the mix. It never downloads.
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

#: Makes the engine of a model, which may download what is missing or not.
Build = Callable[[ModelCard, bool], Engine]


@dataclass(frozen=True)
class ModelChoice:
    """The model for a track.

    Attributes
    ----------
    engine
        What runs it.
    reason
        Why this one, as a sentence; empty where it was named.
    other
        How to get the other model that might have been taken, as a sentence; empty where it was named.
    trouble
        Why it cannot run, where what was asked for leaves this model and weights that it needs are not here.
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
    """What keeps a model from analysing without a download; false where nothing does.

    Attributes
    ----------
    weights
        Models whose weights are missing: the model itself, the one that separates songs.
    other
        What else does, as words in a sentence.
    remedy
        Command that removes that; empty where there is none.
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
        """Commands that remove them; empty where there are none."""
        if self.other and not self.remedy:
            return ""
        fetch = f"allin1 weights fetch {' '.join(self.weights)}" if self.weights else ""
        return " && ".join(filter(None, (self.remedy, fetch)))


class Models:
    """The engines of a session, each built when its model is first chosen.

    Threads may ask at the same time.

    Parameters
    ----------
    build
        Makes an engine.
    cards
        The models that there are.
    named
        The model to use for every track, or ``auto``.
    separation
        What was asked for that only a separation can give, such as ``keep_stems``; empty for nothing. ``auto`` then
        separates songs whatever is missing, so that the run says what that is.

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
        # Where auto chooses: the model that is better, and the one that can always run.
        self._better: ModelCard | None = None
        if self._named is not None:
            self._usual = self._named
        else:
            self._better, self._usual = (find_card(name, cards) for name in AUTO_MODELS)
        # Now, so that whoever opens the session is told of what it cannot be given.
        self._engine(self._usual)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Those of the models that may be chosen, as far as they were built."""
        return tuple(self._engines.values())

    @property
    def eligible(self) -> tuple[Engine, ...]:
        """Those of the models that may be chosen, the better first."""
        with self._lock:
            cards = [self._usual] if self._better is None else [self._better, self._usual]
            return tuple(self._engine(card) for card in cards)

    def choose(self, start: type[Any], outputs: tuple[str, ...] | None = None) -> ModelChoice:
        """Choose the model for a run that is to begin; parameters as for :meth:`preferred`.

        Raises
        ------
        WeightsError
            What was asked for leaves one model, and weights that it needs are not here.
        """
        choice = self.preferred(start, outputs)
        if choice.trouble is not None:
            raise choice.trouble
        return choice

    def preferred(self, start: type[Any], outputs: tuple[str, ...] | None = None) -> ModelChoice:
        """Choose the model, whether or not its weights are here.

        Parameters
        ----------
        start
            Type of what the run starts from.
        outputs
            What it is to give; None for all that the model can.
        """
        with self._lock:
            usual = self._engine(self._usual)
            if self._better is None:
                return ModelChoice(usual)
            better = self._engine(self._better)
            # What failed since then may decide otherwise.
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
        """Choose the model to go on with where no backend is left that runs `choice`; None where nothing may replace it.

        Parameters
        ----------
        choice
            What was chosen for the run.
        error
            Why it cannot go on.
        start, outputs
            As for :meth:`preferred`.
        """
        with self._lock:
            if self._better is None or choice.card.name != self._better.name or self._separation:
                return None
            usual = self._engine(self._usual)
            if find_obstacles(usual, start, outputs):
                return None
            reason = f"{choice.card.name} could not go on: {error.message}"
            return ModelChoice(usual, reason, f"Why: allin1 explain -m {choice.card.name}")

    def _choose(
        self, better: Engine, usual: Engine, start: type[Any], outputs: tuple[str, ...] | None
    ) -> ModelChoice:
        name, other = better.card.name, usual.card.name
        is_audio = record_of(start, usual.card) is takes("spectrogram", usual.card)
        if not is_audio:
            return ModelChoice(better, "The run starts behind the audio.", f"Or: -m {other}")
        separates = record_of(start, better.card) is takes("demix", better.card)
        obstacles = find_obstacles(better, start, outputs)
        if separates and self._separation:
            reason = f"Separation was asked for ({self._separation})."
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
    """That what was asked for leaves one model, and weights that it needs are not here."""
    run = f"Run {obstacles.way_out}" if obstacles.way_out else ""
    return WeightsError(
        f"{reason} That leaves {name}, but {obstacles}.",
        remedy=f"{run}. Or name the model, which then fetches its weights: -m {name}"
        if run
        else None,
    )


def find_obstacles(
    engine: Engine, start: type[Any], outputs: tuple[str, ...] | None = None
) -> Obstacles:
    """What keeps the model of `engine` from analysing such a start; `outputs` as for :meth:`Models.choose`."""
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
        # Of one that has failed, no weights are missing.
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
    """That no backend can separate, and what to install where that is what is missing."""
    refused = [(c.backend.name, c.refusal) for c in candidates if c.refusal is not None]
    lacking = [refusal for _, refusal in refused if refusal.gate == "needs"]
    if not refused or lacking:
        reason = f" ({lacking[0].reason.rstrip('.')})" if lacking else ""
        install = install_command("allin1-torch", "demucs")
        return Obstacles(weights, f"nothing that separates songs is installed{reason}", install)
    name, refusal = refused[0]
    return Obstacles(weights, f"songs cannot be separated ({name}: {refusal.reason.rstrip('.')})")
