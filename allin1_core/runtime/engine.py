"""What a session runs on: everything that outlives a track."""

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
    """The parts that analyses and measurements share.

    Attributes
    ----------
    card
        The model.
    offers
        What the plugins offer.
    devices
        Names of devices.
    prices
        What was measured on this machine.
    chooser
        Decides on routes.
    backends
        Set up, and kept.
    guard
        Checks backends when they first run.
    observers
        Are told about stages and tracks.
    measure
        Measures what a decision lacks, and tells whether it is to be made again; None to measure nothing.
    cache
        Logits of earlier runs.
    known_digests
        Digests of files that were read before; None to read each.
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
        """Choose the route for `request`, without running anything but measurements that were asked for.

        Parameters
        ----------
        request
            What the route must do.
        failures
            Backends to leave out of this run alone, and why.

        Raises
        ------
        SelectionError
            If there is none.
        """
        decision = self.chooser.decide(request, failures)
        if self.measure is not None and self.measure(self, decision):
            decision = self.chooser.decide(request, failures)
        return decision

    def exclude(self, candidate: Candidate, reason: str) -> bool:
        """Leave `candidate` out from now on, and tell whether that is news."""
        self.backends.drop(candidate)
        return self.chooser.exclude(candidate, reason)
