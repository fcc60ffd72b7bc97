"""The requested device, and the devices on which backends are ready."""

from __future__ import annotations

from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.collecting import Offers
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.probing import Probes


class Devices:
    """Names devices: the requested one, if a backend is of its kind, or else the one that the backend's probe returned.

    Attributes
    ----------
    asked_for
        ``cpu``, ``cuda``, ``cuda:1`` …; None for any device.
    """

    def __init__(self, asked_for: str | None, offers: Offers, probes: Probes) -> None:
        self.asked_for = asked_for
        self._offers = offers
        self._probes = probes

    def of(self, candidate: Candidate) -> str:
        """Name of the device that `candidate` runs on."""
        return self.name_of(candidate.backend, candidate.ready)

    def name_of(self, backend: Backend[Any], ready: Ready | None) -> str:
        """Name of the device that `backend` runs on, given the result of its probe."""
        kind = backend.device
        if self.asked_for is not None and self.asked_for.partition(":")[0] == kind:
            return self.asked_for
        return ready.device if ready else kind

    def ready_at(self, space: Space) -> Ready | None:
        """The device of `space`, as named by the first backend that can run there; None if there is none."""
        if space == HOST:
            return Ready("cpu")
        if self.asked_for is not None and space.device not in (
            "cpu",
            self.asked_for.partition(":")[0],
        ):
            return None
        for offered in self._offers.backends:
            backend = offered.item
            touches = space in (backend.consumes, backend.produces)
            if touches and self._probes.missing(backend.needs) is None:
                verdict = self._probes.verdict(backend)
                if isinstance(verdict, Ready):
                    return Ready(self.name_of(backend, verdict), verdict.detail)
        return None
