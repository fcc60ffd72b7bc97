"""Choosing routes in a session, with the preferences of the user, earlier failures, and known prices."""

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
    """The user's requirements for every route.

    Attributes
    ----------
    device
        As in :class:`~allin1_core.contracts.route.RouteRequest`.
    parity
        Weakest promise to accept.
    choices
        Backends that were named, at most one per stage.
    features
        As in :class:`~allin1_core.contracts.route.RouteRequest`.
    """

    device: str | None = None
    parity: Parity = ANY_CLOSE
    choices: tuple[Choice, ...] = ()
    features: tuple[tuple[Stage, str], ...] = ()


class Chooser:
    """Chooses routes for one model, and remembers which backends failed.

    Attributes
    ----------
    preferences
        The user's requirements for every route.
    failures
        Why backends are excluded for the rest of the session, by stage and name.

    Raises
    ------
    SelectionError
        A stage or backend that was named does not exist.
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
        """Create the request for a route through `stages` for `songs` songs of `audio_s` seconds each."""
        return RouteRequest(
            stages=stages,
            audio_s=audio_s * songs,
            start=start,
            architecture=self._card.architecture,
            parity=self.preferences.parity,
            device=self.preferences.device,
            choices=tuple(choice for choice in self.preferences.choices if choice.stage in stages),
            # A model whose parameters are part of its plugin is priced as its author measured it.
            members=len(self._card.files) or None,
            features=self.preferences.features,
            takes=self._card.takes,
            in_blocks=in_blocks,
            songs=songs,
        )

    def confirm(self, candidate: Candidate) -> bool:
        """Determine by its probe whether `candidate` can run; if not, later decisions exclude it for that reason."""
        return isinstance(self._probes.confirm(candidate.backend), Ready)

    def is_confirmed(self, candidate: Candidate) -> bool:
        """Whether :meth:`confirm` would return immediately."""
        return self._probes.is_confirmed(candidate.backend)

    @property
    def changes(self) -> int:
        """Number of findings that may change decisions: backends that failed, or turned out not to be ready."""
        return len(self.failures) + self._probes.surprises

    def be_thorough(self) -> None:
        """Call full probes instead of quick ones from now on, so that reports are reliable."""
        self._probes.is_thorough = True

    def candidates(self, request: RouteRequest) -> dict[Stage, tuple[Candidate, ...]]:
        """Check every backend of each stage of `request`, without choosing."""
        return gate(self._offers, request, self._probes, self.failures, self._prices)

    def decide(self, request: RouteRequest, failures: Failures = MappingProxyType({})) -> Decision:
        """Choose the route for `request`; `failures` are excluded in addition, for this run only.

        Raises
        ------
        SelectionError
            There is no route.
        """
        failures = {**self.failures, **failures}
        return decide(self._plugins, self._offers, request, self._probes, failures, self._prices)

    def network(self, spaces: Collection[Space]) -> BridgeNetwork:
        """The network of bridges, those between `spaces` at measured prices, for use without a decision."""
        return BridgeNetwork(self._prices.of_bridges(spaces))

    def exclude(self, candidate: Candidate, reason: str) -> bool:
        """Exclude `candidate` from later decisions; return whether it was not excluded before."""
        key = (candidate.backend.stage, candidate.backend.name)
        is_news = key not in self.failures
        self.failures[key] = f"It failed earlier in this session: {reason}"
        return is_news

    def choice_of(self, candidate: Candidate) -> Choice | None:
        """The choice of the user that `candidate` fulfils, for which there is no fallback; None if there is none."""
        stages = candidate.backend.stages
        return next((choice for choice in self.preferences.choices if choice.stage in stages), None)
