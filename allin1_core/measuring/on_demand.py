"""Measuring what decisions depend on, on request, and storing the measurements."""

from __future__ import annotations

import logging

from allin1_core.calibration.measurements import find_bridge
from allin1_core.calibration.store import Calibration, save_calibration
from allin1_core.contracts.model import Model
from allin1_core.contracts.stages import Stage
from allin1_core.errors import OutputError, WeightsError
from allin1_core.measuring.backends import measure_backend, model_to_measure
from allin1_core.measuring.bridges import measure_bridge
from allin1_core.runtime.engine import Engine
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.decision import Decision

log = logging.getLogger(__name__)


class MeasureOnDemand:
    """Measures the candidates of decisions, and the bridges between them, that have no valid measurement.

    Stages that only one backend can run are skipped: there is nothing to choose. Each measurement is saved immediately,
    and used in this session from then on. A backend that fails or breaks its promise is excluded from this session with
    a warning, unless the user named it; none is measured twice. Progress is logged at the level INFO.
    """

    def __init__(self) -> None:
        self._tried: set[tuple[Stage, str]] = set()

    def __call__(self, engine: Engine, decision: Decision) -> bool:
        """Measure, and return whether anything was measured, so that the decision must be made again."""
        backends = self._to_measure(engine, decision)
        model: Model | None = None
        if any("nn" in candidate.backend.stages for candidate in backends):
            try:
                model = model_to_measure(engine)
            except WeightsError as error:
                log.warning("The network is not measured: %s", error)
                backends = [c for c in backends if "nn" not in c.backend.stages]
        for number, candidate in enumerate(backends, 1):
            backend = candidate.backend
            name = f"{backend.stage}={backend.name}"
            log.info(
                "measuring %s on %s (%d of %d)",
                name,
                engine.devices.of(candidate),
                number,
                len(backends),
            )
            self._tried.add((backend.stage, backend.name))
            if not engine.chooser.confirm(candidate):
                continue
            row = measure_backend(engine, candidate, model)
            if row.measurement is not None:
                _keep(engine, Calibration(backends=(row.measurement,)))
            elif engine.chooser.choice_of(candidate) is not None:
                log.warning("%s could not be measured. %s", name, row.trouble)
            else:
                log.warning("%s is left out of this run. %s", name, row.trouble)
                engine.exclude(candidate, row.trouble)
        return _measure_bridges(engine, decision) or bool(backends)

    def _to_measure(self, engine: Engine, decision: Decision) -> list[Candidate]:
        todo: dict[tuple[str, str], Candidate] = {}
        for found in decision.candidates.values():
            eligible = [candidate for candidate in found if candidate.is_eligible]
            if len(eligible) > 1:
                for candidate in eligible:
                    if not self._is_measured(engine, candidate):
                        todo[candidate.backend.stage, candidate.backend.name] = candidate
        return list(todo.values())

    def _is_measured(self, engine: Engine, candidate: Candidate) -> bool:
        backend, ready = candidate.backend, candidate.ready
        if (backend.stage, backend.name) in self._tried or ready is None:
            return True
        return engine.prices.of_backend(backend, candidate.plugin, ready) is not None


def _measure_bridges(engine: Engine, decision: Decision) -> bool:
    if all(sum(c.is_eligible for c in found) < 2 for found in decision.candidates.values()):
        return False
    between = {(b.source, b.destination, b.target) for b in decision.bridges}
    has_measured = False
    for offered in engine.offers.offered_bridges:
        bridge = offered.item
        if (bridge.source, bridge.destination, bridge.target) not in between:
            continue
        conditions = engine.prices.conditions_of_bridge(offered)
        if conditions is None or find_bridge(engine.prices.calibration.bridges, bridge, conditions):
            continue
        log.info("measuring moves from %s to %s", bridge.source, bridge.destination)
        row = measure_bridge(engine, offered, conditions)
        if row.measurement is None:
            log.warning(
                "Moves from %s to %s could not be measured. %s",
                bridge.source,
                bridge.destination,
                row.trouble,
            )
            continue
        _keep(engine, Calibration(bridges=(row.measurement,)))
        has_measured = True
    return has_measured


def _keep(engine: Engine, new: Calibration) -> None:
    engine.prices.add(new)
    try:
        save_calibration(new)
    except OutputError as error:
        log.warning("The measurements can only be used in this run: %s", error)
