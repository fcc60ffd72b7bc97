"""The records of a run by type, the location of their arrays, and files still to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.stages import Stage
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.borders import check_labels
from allin1_core.runtime.moving import bring_home
from allin1_core.runtime.plan import Start, is_long, record_of, space_of_start, takes
from allin1_core.runtime.reading import FilesRead, ReadWhole, read_whole
from allin1_core.selection.bridge_network import BridgeNetwork


@dataclass(frozen=True)
class Held:
    """A record, the space of its arrays, and the bridges by which they got there. Long files are held unread."""

    record: Any
    space: Space
    bridges: tuple[Bridge, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is a file that is still to be read."""
        return isinstance(self.record, (MixFile, StemFiles))

    def home(self, network: BridgeNetwork) -> Held:
        """The same record in NumPy arrays; files are unchanged."""
        if self.is_file:
            return self
        record = bring_home(self.record, self.space, network)
        return Held(record, HOST, network.way(self.space, HOST))


class Holdings:
    """The records of a run for one model.

    Parameters
    ----------
    card
        The model, which determines what its stages take.
    was_read
        Called with information about files that were read.
    """

    def __init__(self, card: ModelCard, was_read: Callable[[FilesRead], None]) -> None:
        self._card = card
        self._was_read = was_read
        self._held: dict[type[Any], Held] = {}

    def start(
        self, start: Start, network: BridgeNetwork, read_files: ReadWhole = read_whole
    ) -> None:
        """Hold the input of the run; files are read, by `read_files`, unless they are too long to be held in memory.

        If the model takes the mix, the sum of given stems is held.

        Raises
        ------
        ContractError
            A record violates its contract.
        InputError
            Files cannot be read.
        """
        kind = record_of(type(start), self._card)
        if isinstance(start, (MixFile, StemFiles)):
            self._held[kind] = Held(start, HOST)
            if not is_long(start):
                self.read(kind, read_files)
            return
        # A record from the caller is user input, not the output of a backend.
        start.validate()
        check_labels(start, self._card.labels)
        held = Held(start, space_of_start(start))
        if type(start) is not kind:
            held = Held(_sum_of(held.home(network).record), HOST)
        self._held[kind] = held

    def read(self, kind: type[Any], read_files: ReadWhole = read_whole) -> Held:
        """Read the files that are held instead of a record of type `kind`."""
        record, files = read_files(self._held[kind].record)
        self._was_read(files)
        self._held[kind] = Held(record if type(record) is kind else _sum_of(record), HOST)
        return self._held[kind]

    def of(self, stage: Stage) -> Held:
        """The input of `stage`."""
        return self._held[takes(stage, self._card)]

    def put(self, kind: type[Any], held: Held) -> None:
        """Hold the output of a stage; beats and sections found together are held separately."""
        if isinstance(held.record, Findings):
            for part in held.record.parts:
                self._held[type(part)] = Held(part, held.space, held.bridges)
        else:
            self._held[kind] = held

    def get(self, kind: type[Any]) -> Held | None:
        """The record of this type that is held, if any."""
        return self._held.get(kind)

    def bring_home(self, network: BridgeNetwork) -> None:
        """Move everything to NumPy, from where all routes can continue."""
        self._held = {kind: held.home(network) for kind, held in self._held.items()}

    def keep_only(self, stages: Iterable[Stage], kinds: Iterable[type[Any]]) -> None:
        """Release everything except the inputs of `stages` and records of `kinds`."""
        needed = {takes(stage, self._card) for stage in stages} | set(kinds)
        self._held = {kind: held for kind, held in self._held.items() if kind in needed}


def _sum_of(stems: Stems | Mix) -> Mix:
    """The sum of stems in NumPy arrays, as a mix with two channels."""
    mix = stems.samples.sum(axis=0, dtype=np.float32)
    return Mix(np.ascontiguousarray(np.broadcast_to(mix, (2, mix.shape[-1]))))
