"""The guard, which compares each backend with the reference on a part of the track when it first runs."""

from __future__ import annotations

import logging
from typing import Any

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.parity import promise_text
from allin1_core.contracts.space import Space
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.contracts.stages import Stage
from allin1_core.errors import BackendError, InputError
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.plugins.collecting import Offers
from allin1_core.runtime.backends import Backends
from allin1_core.runtime.checking import (
    ReferenceFailedError,
    cut,
    difference_from_reference,
    has_reference,
    run_alone,
)
from allin1_core.runtime.difference import keeps_promise
from allin1_core.runtime.moving import bring_home
from allin1_core.runtime.reading import read_in_blocks
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.devices import Devices

log = logging.getLogger(__name__)

#: Seconds of a track on which a backend is checked.
GUARD_S = 10.0


class Guard:
    """Compares each backend with the reference once, if that was requested."""

    def __init__(self, is_on: bool, offers: Offers, backends: Backends, devices: Devices) -> None:
        self.is_on = is_on
        self._offers = offers
        self._backends = backends
        self._devices = devices
        self._checked: set[tuple[Stage, str]] = set()

    def must_check(self, candidate: Candidate) -> bool:
        """Whether `candidate` must still be compared with the reference."""
        backend = candidate.backend
        return (
            self.is_on
            and backend.parity is not None
            and backend.parity.level != "lossy"
            and candidate.plugin.name != "reference"
            and (backend.stage, backend.name) not in self._checked
            and has_reference(self._offers, backend.stages)
        )

    def check(
        self, candidate: Candidate, call: Any, data: Any, network: BridgeNetwork, track: str
    ) -> None:
        """Compare a backend with the reference on `data`, in NumPy arrays; only warn if the reference itself fails.

        Raises
        ------
        BackendError
            It differs by more than it promises.
        """
        backend = candidate.backend
        output = run_alone(backend, call, network, self._devices.of(candidate), data)
        setup = self._backends.setup_of(candidate)
        try:
            difference = difference_from_reference(self._offers, backend, setup, data, output)
        except ReferenceFailedError as error:
            log.warning(
                "The guard could not check backend %s=%s: %s.", backend.stage, backend.name, error
            )
        else:
            if not keeps_promise(backend.parity, difference):
                raise BackendError(
                    f"It broke its promise of parity: on {data.duration_s:.4g} s of {track or 'the track'} it differs"
                    f" from the reference by {difference:.3g}; promised: {promise_text(backend.parity)}."
                )
        self._checked.add((backend.stage, backend.name))


def sample_of(record: Any, space: Space, network: BridgeNetwork) -> Any:
    """The middle of the input of a step, in NumPy arrays; files are read up to there."""
    if not isinstance(record, (MixFile, StemFiles)):
        return cut(bring_home(record, space, network), GUARD_S)
    skipped = int((record.duration_s or 0.0) / GUARD_S / 2)
    last: Mix | Stems | None = None
    blocks = read_in_blocks(record, round(GUARD_S * FRAMES_PER_SECOND))
    for number, block in enumerate(blocks):
        last = block
        if number == skipped:
            break
    blocks.close()
    if last is None:
        source = record.path if isinstance(record, MixFile) else record.source
        raise InputError("The files hold no samples.", path=source)
    return last
