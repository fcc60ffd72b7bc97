"""The parts of a session that outlive a track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType

from allin1_core.calibration.prices import MeasuredPrices
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.route import RouteRequest
from allin1_core.io.known_digests import KnownDigests
from allin1_core.plugins.collecting import Offers
from allin1_core.runtime.backends import Backends
from allin1_core.runtime.guard import Guard
from allin1_core.runtime.logits_cache import LogitsCache
from allin1_core.runtime.observers import Observers
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.chooser import Chooser
from allin1_core.selection.decision import Decision
from allin1_core.selection.devices import Devices
from allin1_core.selection.eligibility import Failures


@dataclass(frozen=True)
class Engine:
    """The parts that analyses and measurements share, for one model.

    Attributes
    ----------
    card
        The model.
    offers
        What the plugins provide.
    devices
        Names of the devices.
    prices
        Prices measured on this machine, or priors.
    chooser
        Chooses routes.
    backends
        Sets up backends, and keeps them.
    guard
        Checks backends when they first run.
    observers
        Notified of stages and tracks.
    measure
        Measures backends for which a decision has no measurement, and returns whether to decide again; None to measure
        nothing.
    cache
        Logits of earlier runs.
    known_digests
        Digests of files from earlier runs; None to read each file.
    """

    card: ModelCard
    offers: Offers
    devices: Devices
    prices: MeasuredPrices
    chooser: Chooser
    backends: Backends
    guard: Guard
    observers: Observers
    measure: Callable[[Engine, Decision], bool] | None = None
    cache: LogitsCache = field(default_factory=lambda: LogitsCache(None))
    known_digests: KnownDigests | None = None

    def decide(self, request: RouteRequest, failures: Failures = MappingProxyType({})) -> Decision:
        """Choose the route for `request`, without running anything except requested measurements.

        Parameters
        ----------
        request
            The requirements for the route.
        failures
            Backends to exclude in this run only, with the reason.

        Raises
        ------
        SelectionError
            There is no route.
        """
        decision = self.chooser.decide(request, failures)
        if self.measure is not None and self.measure(self, decision):
            decision = self.chooser.decide(request, failures)
        return decision

    def exclude(self, candidate: Candidate, reason: str) -> bool:
        """Exclude `candidate` from now on; return whether it was not excluded before."""
        self.backends.drop(candidate)
        return self.chooser.exclude(candidate, reason)
