"""Measuring what each precision of the separators loses, on this machine and with the weights of a session."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from allin1_core.calibration.demix_error import PrecisionError, demix_conditions
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Task
from allin1_core.runtime.bridging import cross
from allin1_core.runtime.session import Session
from allin1_core.selection.decision import Candidate
from allin1_core.selection.probing import load_target
from allin1_core.selection.routing import BridgeNetwork


@dataclass(frozen=True)
class SeparatorRow:
    """What became of a separator.

    Attributes
    ----------
    backend, device
        Which, and on what.
    errors
        One for each precision that it has besides float32.
    remark
        A sentence where there is nothing to compare.
    trouble
        A sentence, if it failed.
    """

    backend: str
    device: str
    errors: tuple[PrecisionError, ...] = ()
    remark: str = ""
    trouble: str = ""


def measure_demix_errors(session: Session, mix: Mix) -> Iterator[SeparatorRow]:
    """Let each separator that can run here compare its precisions with float32.

    Parameters
    ----------
    session
        Says which separation, and on which device.
    mix
        What to separate, in NumPy arrays.
    """
    for candidate in session.candidates(session.request(("demix",), mix.duration_s))["demix"]:
        if candidate.is_eligible and candidate.backend.stages == ("demix",):
            yield _measure(session, candidate, mix)


def _measure(session: Session, candidate: Candidate, mix: Mix) -> SeparatorRow:
    backend, device = candidate.backend, session.device_of(candidate)
    try:
        call = load_target(backend.target)(session.setup_of(candidate))
        try:
            if not hasattr(call, "precision_errors"):
                return SeparatorRow(backend.name, device, remark="It cannot tell.")
            bridges = BridgeNetwork(session.offers.bridges).way(HOST, backend.consumes)
            found = call.precision_errors(cross(mix, bridges, device), Task())
        finally:
            if hasattr(call, "close"):
                call.close()
    except Exception as error:  # of a library: this backend is told of, the others go on
        return SeparatorRow(
            backend.name, device, trouble=f"It failed: {type(error).__name__}: {error}"
        )
    if not found:
        return SeparatorRow(
            backend.name, device, remark="It computes in float32 whatever is asked."
        )
    conditions = demix_conditions(session.conditions_of(candidate), session.demix)
    today = datetime.date.today().isoformat()
    errors = tuple(
        PrecisionError(backend.name, precision, conditions, dict(decibels), today)
        for precision, decibels in found.items()
    )
    return SeparatorRow(backend.name, device, errors)
