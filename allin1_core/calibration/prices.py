"""Prices: measured on this machine if a valid measurement exists, otherwise declared by plugins."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from allin1_core.calibration.conditions import conditions_of
from allin1_core.calibration.measurements import bridge_conditions, find_bridge, find_speed
from allin1_core.calibration.store import Calibration, load_calibration
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.space import Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.collecting import Offered, Offers
from allin1_core.plugins.options import OptionValues, options_of
from allin1_core.plugins.record import PluginRecord
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.cost import PRIOR
from allin1_core.selection.devices import Devices


class MeasuredPrices:
    """Prices under the conditions of one session; see :class:`~allin1_core.selection.cost.Prices`."""

    def __init__(
        self,
        offers: Offers,
        devices: Devices,
        *,
        card: ModelCard,
        metre: MetreParameters,
        demix: DemixParameters,
        threads: int | None,
        options: OptionValues,
    ) -> None:
        self._offers = offers
        self._devices = devices
        self._model = f"{card.architecture}, {len(card.files)} members"
        self._metre = metre
        self._demix = demix
        self._threads = threads
        self._options = options
        self._calibration: Calibration | None = None

    @property
    def calibration(self) -> Calibration:
        """The measurements on this machine, read once."""
        if self._calibration is None:
            self._calibration = load_calibration()
        return self._calibration

    def add(self, new: Calibration) -> None:
        """Use `new` from now on."""
        self._calibration = self.calibration.updated(new)

    def of_backend(self, backend: Backend[Any], plugin: PluginRecord, ready: Ready) -> Speed | None:
        """The measurement of a backend; None if there is no valid one."""
        saved = self.calibration.backends
        if not saved:
            return None
        return find_speed(saved, backend, self._conditions(backend, plugin, ready))

    def of_bridges(self, spaces: Collection[Space]) -> dict[Bridge, str]:
        """Every bridge at its price, with the source of the price; those between `spaces` as measured."""
        saved = self.calibration.bridges
        priced: dict[Bridge, str] = {}
        for offered in self._offers.offered_bridges:
            bridge, evidence = offered.item, PRIOR
            if saved and {bridge.source, bridge.destination} <= set(spaces):
                conditions = self.conditions_of_bridge(offered)
                found = conditions and find_bridge(saved, bridge, conditions)
                if found:
                    bridge, evidence = found.on(bridge), found.evidence
            priced.setdefault(bridge, evidence)
        return priced

    def conditions_of(self, candidate: Candidate) -> dict[str, str]:
        """The conditions of a measurement of `candidate` in this session."""
        if candidate.ready is None:
            raise ValueError(f"{candidate.backend.name} cannot run: {candidate.refusal}")
        return self._conditions(candidate.backend, candidate.plugin, candidate.ready)

    def conditions_of_bridge(self, offered: Offered[Bridge]) -> dict[str, str] | None:
        """The conditions of a measurement of a bridge in this session; None if it cannot be used here."""
        bridge = offered.item
        source = self._devices.ready_at(bridge.source)
        destination = self._devices.ready_at(bridge.destination)
        if source is None or destination is None:
            return None
        return bridge_conditions(bridge, offered.plugin, source, destination)

    def _conditions(
        self, backend: Backend[Any], plugin: PluginRecord, ready: Ready
    ) -> dict[str, str]:
        device = self._devices.name_of(backend, ready)
        return conditions_of(
            backend,
            plugin,
            Ready(device, ready.detail),
            model=self._model,
            metre=self._metre,
            demix=self._demix,
            threads=self._threads,
            options=options_of(backend, plugin.name, self._options),
        )
