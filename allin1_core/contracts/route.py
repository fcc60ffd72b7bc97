"""A way through the stages, and what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import Takes
from allin1_core.contracts.parity import Parity, close
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.stages import Stage

#: Whatever promises a bound on its values.
ANY_CLOSE = close(float("inf"))

#: Seconds of audio that a route is chosen for where nothing says how long it is.
USUAL_AUDIO_S = 180.0


@dataclass(frozen=True)
class Choice:
    """A backend or a plugin that the user named for a stage.

    Attributes
    ----------
    stage
        The stage.
    name
        Name of the backend or of the plugin.
    source
        Where it was said: ``ALLIN1_BACKEND``, or the path of the configuration file; empty for an argument.
    """

    stage: Stage
    name: str
    source: str = ""

    @property
    def said_by(self) -> str:
        """Words for where it came from, to stand behind it; none for an argument."""
        return f" (said by {self.source})" if self.source else ""


@dataclass(frozen=True)
class RouteRequest:
    """What a route must do.

    Attributes
    ----------
    stages
        Stages to be covered, in order.
    audio_s
        Seconds of audio in the request, all songs together.
    start
        Space of the arrays that the run begins with.
    architecture
        The model's architecture; backends of the stage ``nn`` must know it.
    parity
        Weakest promise that is accepted.
    device
        Kind of device, or its name, that the user asked for; None for any.
    choices
        What the user named, at most one for each stage.
    members
        How many networks the model has; None where that is not known.
    takes
        What the model's spectrogram is made from; backends of the stage ``spectrogram`` must take the same.
    features
        What the backend of a stage has to be able to do: ``(stage, feature)``, as in ``Backend.features``.
    in_blocks
        Stages in which what is long goes through a backend of that stage alone block by block, with NumPy arrays on
        either side. Separation does so only where the backend streams and a spectrogram of its own follows.
    songs
        How many songs these are.
    """

    stages: tuple[Stage, ...]
    audio_s: float
    start: Space = HOST
    architecture: str = "all-in-one"
    parity: Parity = ANY_CLOSE
    device: str | None = None
    choices: tuple[Choice, ...] = ()
    members: int | None = None
    takes: Takes = "stems"
    features: tuple[tuple[Stage, str], ...] = ()
    in_blocks: tuple[Stage, ...] = ()
    songs: int = 1

    def choice(self, stage: Stage) -> Choice | None:
        """What the user named for `stage`; None where that was left open."""
        return next((choice for choice in self.choices if choice.stage == stage), None)


@dataclass(frozen=True)
class Step:
    """One edge of a route: the bridges that bring the arrays, then the backend.

    Attributes
    ----------
    backend
        What runs.
    plugin
        Name of the plugin that registered it.
    bridges
        Moves of its input, in order.
    cost_s
        Estimated seconds, bridges included.
    """

    backend: Backend[Any]
    plugin: str
    bridges: tuple[Bridge, ...]
    cost_s: float


@dataclass(frozen=True)
class Route:
    """Steps that cover the stages of a request, in order.

    Attributes
    ----------
    steps
        In the order in which they run.
    cost_s
        Estimated seconds, with the way back to NumPy at the end.
    """

    steps: tuple[Step, ...]
    cost_s: float

    def __str__(self) -> str:
        return ", ".join(f"{step.backend.stage}={step.backend.name}" for step in self.steps)
