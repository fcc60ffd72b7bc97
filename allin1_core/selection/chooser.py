"""Choosing routes in a session: what its user wished, what failed in it, and what is known of prices."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType

from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.parity import Parity
from allin1_core.contracts.route import ANY_CLOSE, Choice, RouteRequest
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.stages import Stage
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.collecting import Offers
from allin1_core.plugins.loading import Plugins
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.cost import Prices
from allin1_core.selection.decision import Decision
from allin1_core.selection.eligibility import Failures, gate
from allin1_core.selection.policy import check_choices, decide
from allin1_core.selection.probing import Probes


@dataclass(frozen=True)
class Preferences:
    """What a user asks of every route.

    Attributes
    ----------
    device
        As in :class:`~allin1_core.contracts.route.RouteRequest`.
    parity
        Weakest promise that is accepted.
    choices
        What was named, at most one for each stage.
    features
        As in :class:`~allin1_core.contracts.route.RouteRequest`.
    """

    device: str | None = None
    parity: Parity = ANY_CLOSE
    choices: tuple[Choice, ...] = ()
    features: tuple[tuple[Stage, str], ...] = ()


class Chooser:
    """Decides on routes for one model, and remembers which backends failed.

    Attributes
    ----------
    preferences
        What is asked of every route.
    failures
        Why backends are left out for the rest of the session, by stage and name.

    Raises
    ------
    SelectionError
        If a stage or a backend was named that does not exist.
    """

    def __init__(
        self,
        plugins: Plugins,
        offers: Offers,
        card: ModelCard,
        preferences: Preferences,
        probes: Probes,
        prices: Prices,
    ) -> None:
        check_choices(offers, plugins, preferences.choices)
        self.preferences = preferences
        self.failures: dict[tuple[Stage, str], str] = {}
        self._plugins = plugins
        self._offers = offers
        self._card = card
        self._probes = probes
        self._prices = prices

    def request(
        self,
        stages: tuple[Stage, ...],
        audio_s: float,
        start: Space = HOST,
        *,
        songs: int = 1,
        in_blocks: tuple[Stage, ...] = (),
    ) -> RouteRequest:
        """State what a route for `stages` of `songs` of `audio_s` seconds of audio each must do."""
        return RouteRequest(
            stages=stages,
            audio_s=audio_s * songs,
            start=start,
            architecture=self._card.architecture,
            parity=self.preferences.parity,
            device=self.preferences.device,
            choices=tuple(choice for choice in self.preferences.choices if choice.stage in stages),
            # A model whose parameters come with its plugin is counted as its author measured it.
            members=len(self._card.files) or None,
            features=self.preferences.features,
            takes=self._card.takes,
            in_blocks=in_blocks,
            songs=songs,
        )

    def confirm(self, candidate: Candidate) -> bool:
        """Tell whether `candidate` can run, by its probe; if not, later decisions refuse it for what the probe said."""
        return isinstance(self._probes.confirm(candidate.backend), Ready)

    def is_confirmed(self, candidate: Candidate) -> bool:
        """Whether :meth:`confirm` would answer at once."""
        return self._probes.is_confirmed(candidate.backend)

    @property
    def changes(self) -> int:
        """How often something was found out that decisions depend on: that a backend failed, or is not ready after all."""
        return len(self.failures) + self._probes.surprises

    def be_thorough(self) -> None:
        """Ask probes, where quick ones were asked, from now on, so that what is told is sure."""
        self._probes.is_thorough = True

    def candidates(self, request: RouteRequest) -> dict[Stage, tuple[Candidate, ...]]:
        """Judge every backend of each stage of `request`, without choosing."""
        return gate(self._offers, request, self._probes, self.failures, self._prices)

    def decide(self, request: RouteRequest, failures: Failures = MappingProxyType({})) -> Decision:
        """Choose the route for `request`, without those backends either that are left out of this run alone.

        Raises
        ------
        SelectionError
            If there is none.
        """
        failures = {**self.failures, **failures}
        return decide(self._plugins, self._offers, request, self._probes, failures, self._prices)

    def network(self, spaces: Collection[Space]) -> BridgeNetwork:
        """The bridges, those between `spaces` at their measured prices, where there is nothing to decide on."""
        return BridgeNetwork(self._prices.of_bridges(spaces))

    def exclude(self, candidate: Candidate, reason: str) -> bool:
        """Leave `candidate` out of later decisions, and tell whether that is news."""
        key = (candidate.backend.stage, candidate.backend.name)
        is_news = key not in self.failures
        self.failures[key] = f"It failed earlier in this session: {reason}"
        return is_news

    def choice_of(self, candidate: Candidate) -> Choice | None:
        """The user's choice that `candidate` was taken for, so that nothing may replace it; None where it was free."""
        stages = candidate.backend.stages
        return next((choice for choice in self.preferences.choices if choice.stage in stages), None)
