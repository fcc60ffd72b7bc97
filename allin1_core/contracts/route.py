"""A route through the stages, and the request for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import Takes
from allin1_core.contracts.parity import Parity, close
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.stages import Stage

#: Accepts every promise of a bound on values.
ANY_CLOSE = close(float("inf"))

#: Seconds of audio for which a route is chosen if the length is unknown.
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
        Source of the choice: ``ALLIN1_BACKEND``, or the path of the configuration file; empty for an argument.
    """

    stage: Stage
    name: str
    source: str = ""

    @property
    def said_by(self) -> str:
        """Description of the source, to be appended to the choice; empty for an argument."""
        return f" (set by {self.source})" if self.source else ""


@dataclass(frozen=True)
class RouteRequest:
    """The requirements for a route.

    Attributes
    ----------
    stages
        Stages to cover, in order.
    audio_s
        Seconds of audio in the request, for all songs together.
    start
        Space of the arrays with which the run begins.
    architecture
        Architecture of the model; backends of the stage ``nn`` must support it.
    parity
        Weakest promise to accept.
    device
        Kind or name of the device that the user requested; None for any.
    choices
        Choices of the user, at most one for each stage.
    members
        Number of networks in the model; None if unknown.
    takes
        Input of the model's spectrogram; backends of the stage ``spectrogram`` must take the same.
    features
        Capabilities that the backend of a stage must have: ``(stage, feature)``, as in ``Backend.features``.
    in_blocks
        Stages in which a backend that covers only this stage processes long inputs in blocks, with NumPy arrays on
        either side. For separation, this requires that the backend streams and a separate spectrogram follows.
    songs
        Number of songs.
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
        """The user's choice for `stage`; None if there is none."""
        return next((choice for choice in self.choices if choice.stage == stage), None)


@dataclass(frozen=True)
class Step:
    """One edge of a route: the bridges that move the input, then the backend.

    Attributes
    ----------
    backend
        The backend.
    plugin
        Name of the plugin that registered it.
    bridges
        Bridges over which its input is moved, in order.
    cost_s
        Estimated seconds, including the bridges.
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
        Estimated seconds, including the move back to NumPy at the end.
    """

    steps: tuple[Step, ...]
    cost_s: float

    def __str__(self) -> str:
        return ", ".join(f"{step.backend.stage}={step.backend.name}" for step in self.steps)
