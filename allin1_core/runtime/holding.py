"""What a run holds: records by type, where their arrays lie, and files that are yet to be read."""

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
from allin1_core.runtime.reading import FilesRead, read_whole
from allin1_core.selection.bridge_network import BridgeNetwork


@dataclass(frozen=True)
class Held:
    """A record, where its arrays lie, and how they came there. Long files are held unread."""

    record: Any
    space: Space
    bridges: tuple[Bridge, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is yet to be read."""
        return isinstance(self.record, (MixFile, StemFiles))

    def home(self, network: BridgeNetwork) -> Held:
        """The same in NumPy arrays; files as they are."""
        if self.is_file:
            return self
        record = bring_home(self.record, self.space, network)
        return Held(record, HOST, network.way(self.space, HOST))


class Holdings:
    """The records of a run for one model.

    Parameters
    ----------
    card
        The model, which says what its stages take.
    was_read
        Called with what was found out about files that were read.
    """

    def __init__(self, card: ModelCard, was_read: Callable[[FilesRead], None]) -> None:
        self._card = card
        self._was_read = was_read
        self._held: dict[type[Any], Held] = {}

    def start(self, start: Start, network: BridgeNetwork) -> None:
        """Hold what the run starts from, and read files into memory that are not too long for it.

        Of stems their sum is held, for a model that takes the mix.

        Raises
        ------
        ContractError
            A record is not what its contract says.
        InputError
            Files cannot be read.
        """
        kind = record_of(type(start), self._card)
        if isinstance(start, (MixFile, StemFiles)):
            self._held[kind] = Held(start, HOST)
            if not is_long(start):
                self.read(kind)
            return
        # What the caller gives is wrong input, not a backend's broken promise.
        start.validate()
        check_labels(start, self._card.labels)
        held = Held(start, space_of_start(start))
        if type(start) is not kind:
            held = Held(_sum_of(held.home(network).record), HOST)
        self._held[kind] = held

    def read(self, kind: type[Any]) -> Held:
        """Read the files that are held in place of a record of type `kind`."""
        record, files = read_whole(self._held[kind].record)
        self._was_read(files)
        self._held[kind] = Held(record if type(record) is kind else _sum_of(record), HOST)
        return self._held[kind]

    def of(self, stage: Stage) -> Held:
        """What `stage` takes."""
        return self._held[takes(stage, self._card)]

    def put(self, kind: type[Any], held: Held) -> None:
        """Hold what a stage gave; of beats and sections at once, each by itself."""
        if isinstance(held.record, Findings):
            for part in held.record.parts:
                self._held[type(part)] = Held(part, held.space, held.bridges)
        else:
            self._held[kind] = held

    def get(self, kind: type[Any]) -> Held | None:
        """What is held of this type."""
        return self._held.get(kind)

    def bring_home(self, network: BridgeNetwork) -> None:
        """Bring everything to NumPy, from where every way leads on."""
        self._held = {kind: held.home(network) for kind, held in self._held.items()}

    def keep_only(self, stages: Iterable[Stage], kinds: Iterable[type[Any]]) -> None:
        """Let go of everything but what `stages` take, and records of `kinds`."""
        needed = {takes(stage, self._card) for stage in stages} | set(kinds)
        self._held = {kind: held for kind, held in self._held.items() if kind in needed}


def _sum_of(stems: Stems | Mix) -> Mix:
    """The mix that stems in NumPy arrays belong to, in two channels."""
    mix = stems.samples.sum(axis=0, dtype=np.float32)
    return Mix(np.ascontiguousarray(np.broadcast_to(mix, (2, mix.shape[-1]))))
