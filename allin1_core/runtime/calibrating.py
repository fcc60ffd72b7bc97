"""Measuring what a decision lacks, where the user asked for that, and keeping it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from allin1_core.calibration.bridges import find_bridge
from allin1_core.calibration.store import Calibration, save_calibration
from allin1_core.contracts.model import Model
from allin1_core.errors import OutputError, WeightsError
from allin1_core.runtime.bench import measure_backend, model_to_measure
from allin1_core.runtime.bench_bridges import measure_bridge
from allin1_core.selection.decision import Candidate, Decision

if TYPE_CHECKING:
    from allin1_core.runtime.session import Session

log = logging.getLogger(__name__)


def calibrate(session: Session, decision: Decision) -> bool:
    """Measure the candidates of `decision`, and the bridges between them, of which no valid measurement is known.

    Stages that one backend alone can run are left out: there is nothing to choose. Each result is saved at once, and
    counts in this session from then on. A backend that fails or breaks its promise is told of, and left out of this
    session unless the user named it. What is done is logged at the level INFO.

    Returns
    -------
    bool
        Whether anything was measured, so that the decision is to be made again.
    """
    backends = _to_measure(session, decision)
    model: Model | None = None
    if any("nn" in candidate.backend.stages for candidate in backends):
        try:
            model = model_to_measure(session)
        except WeightsError as error:
            log.warning("The network is not measured: %s", error)
            backends = [c for c in backends if "nn" not in c.backend.stages]
    for number, candidate in enumerate(backends, 1):
        backend = candidate.backend
        name = f"{backend.stage}={backend.name}"
        log.info(
            "measuring %s on %s (%d of %d)",
            name,
            session.device_of(candidate),
            number,
            len(backends),
        )
        session.note_tried(candidate)
        row = measure_backend(session, candidate, model)
        if row.measurement is not None:
            _keep(session, Calibration(backends=(row.measurement,)))
        elif session.is_named(candidate):
            log.warning("%s could not be measured. %s", name, row.trouble)
        else:
            log.warning("%s is left out of this run. %s", name, row.trouble)
            session.exclude(candidate, row.trouble)
    return _measure_bridges(session, decision) or bool(backends)


def _to_measure(session: Session, decision: Decision) -> list[Candidate]:
    todo: dict[tuple[str, str], Candidate] = {}
    for found in decision.candidates.values():
        eligible = [candidate for candidate in found if candidate.is_eligible]
        if len(eligible) > 1:
            for candidate in eligible:
                if not session.is_measured(candidate):
                    todo[candidate.backend.stage, candidate.backend.name] = candidate
    return list(todo.values())


def _measure_bridges(session: Session, decision: Decision) -> bool:
    if all(sum(c.is_eligible for c in found) < 2 for found in decision.candidates.values()):
        return False
    between = {(b.source, b.destination, b.target) for b in decision.bridges}
    has_measured = False
    for offered in session.offers.offered_bridges:
        bridge = offered.item
        if (bridge.source, bridge.destination, bridge.target) not in between:
            continue
        conditions = session.conditions_of_bridge(offered)
        if conditions is None or find_bridge(session.calibration.bridges, bridge, conditions):
            continue
        log.info("measuring moves from %s to %s", bridge.source, bridge.destination)
        row = measure_bridge(session, offered, conditions)
        if row.measurement is None:
            log.warning(
                "Moves from %s to %s could not be measured. %s",
                bridge.source,
                bridge.destination,
                row.trouble,
            )
            continue
        _keep(session, Calibration(bridges=(row.measurement,)))
        has_measured = True
    return has_measured


def _keep(session: Session, new: Calibration) -> None:
    session.note_measured(new)
    try:
        save_calibration(new)
    except OutputError as error:
        log.warning("What was measured holds for this run alone: %s", error)
