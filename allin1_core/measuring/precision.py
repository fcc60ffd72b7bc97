"""Measuring the error of each precision of the separators, on this machine and with the user's weights."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from allin1_core.calibration.precision import PrecisionError, demix_conditions
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Task
from allin1_core.errors import PLUGIN_FAILURES, in_full
from allin1_core.runtime.backends import close_backend, create
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.moving import cross
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate


@dataclass(frozen=True)
class SeparatorRow:
    """The measurement of a separator.

    Attributes
    ----------
    backend, device
        The separator, and its device.
    errors
        One for each precision that it provides besides float32.
    remark
        A sentence, if there is nothing to compare.
    trouble
        A sentence, if it failed.
    """

    backend: str
    device: str
    errors: tuple[PrecisionError, ...] = ()
    remark: str = ""
    trouble: str = ""


def measure_precision(engine: Engine, mix: Mix) -> Iterator[SeparatorRow]:
    """Let each separator that can run here compare its precisions with float32.

    Parameters
    ----------
    engine
        Determines the separation and the device.
    mix
        The mix to separate, in NumPy arrays.
    """
    engine.chooser.be_thorough()
    request = engine.chooser.request(("demix",), mix.duration_s)
    for candidate in engine.chooser.candidates(request)["demix"]:
        if candidate.is_eligible and candidate.backend.stages == ("demix",):
            yield _measure(engine, candidate, mix)


def _measure(engine: Engine, candidate: Candidate, mix: Mix) -> SeparatorRow:
    backend, device = candidate.backend, engine.devices.of(candidate)
    try:
        call = create(backend, engine.backends.setup_of(candidate))
        try:
            if not hasattr(call, "precision_errors"):
                return SeparatorRow(backend.name, device, remark="It does not measure this.")
            bridges = BridgeNetwork(engine.offers.bridges).way(HOST, backend.consumes)
            found = call.precision_errors(cross(mix, bridges, device), Task())
        finally:
            close_backend(call, f"{backend.stage}={backend.name}")
    except PLUGIN_FAILURES as error:  # reported in the row; the others are still measured
        return SeparatorRow(backend.name, device, trouble=f"It failed: {in_full(error)}")
    if not found:
        return SeparatorRow(backend.name, device, remark="It always computes in float32.")
    conditions = demix_conditions(engine.prices.conditions_of(candidate), engine.backends.demix)
    today = datetime.date.today().isoformat()
    errors = tuple(
        PrecisionError(backend.name, precision, conditions, dict(decibels), today)
        for precision, decibels in found.items()
    )
    return SeparatorRow(backend.name, device, errors)
