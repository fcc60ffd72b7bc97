"""The stage ``demix``: equivalent to ``demucs.api.Separator`` of demucs 4.1.0, in memory, on one device.

The song is normalised by the mean and the standard deviation of its mono mix, cut into overlapping segments from a random
start, separated in batches of segments, and joined with a triangular cross-fade; a song that is read block by block is
processed in the same way. On a CPU, HTDemucs runs rewritten, with one segment per thread, and other models as the
modules of Demucs, one segment after another; on CUDA, many segments run at once, in a network with channels last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from allin1_core.contracts.audio import STEMS, Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Setup, StreamingDemix, Task
from allin1_core.errors import BackendError
from torch import Tensor

from allin1_backend_torch.demix_assembly import Pass, Reading, Share, Song, Sums, next_batch
from allin1_backend_torch.demix_at_once import usual_batch
from allin1_backend_torch.demix_error import measure_precisions
from allin1_backend_torch.demix_level import Level, level_of, level_of_blocks
from allin1_backend_torch.demix_members import MakeOperations, Member, ready_members
from allin1_backend_torch.demix_models import Bag, load_bag
from allin1_backend_torch.demix_precision import (
    Precision,
    choose_precision,
    computing,
    less_exact,
)
from allin1_backend_torch.demix_segments import draw_starts, segments, windows
from allin1_backend_torch.waiting import wait_for

log = logging.getLogger(__name__)


def create(setup: Setup, operations: MakeOperations | None = None) -> StreamingDemix:
    """Load the models and move them to ``setup.device``.

    Parameters
    ----------
    operations
        Creates the operations of networks with channels last; None for PyTorch's.

    Raises
    ------
    WeightsError
        Files of the models are missing or damaged; the message names them.
    InputError
        The models do not support the parameters.
    ContractError
        The parameters are out of range.
    """
    parameters = setup.demix.validate()
    device = torch.device(setup.device)
    threads = setup.threads if device.type == "cpu" else None
    bag = load_bag(parameters, setup.separator_files)
    separation = Separation(
        bag,
        parameters,
        device,
        choose_precision(parameters.precision, device),
        channels_last=device.type == "cuda",
        batch_size=parameters.batch_size or usual_batch(device, bag, threads),
        threads=threads,
        operations=operations,
    )
    separation.members(separation.precision)
    return separation


@dataclass(frozen=True, eq=False)
class Separation:
    """Separates songs with a bag of models.

    Attributes
    ----------
    bag
        The models.
    parameters
        Parameters of the separation.
    device
        Device to run on.
    precision
        Precision, unless half precision overflows.
    channels_last
        Whether models of a known architecture run with channels last.
    batch_size
        Maximum number of segments at once.
    threads
        Number of CPU threads; None for the default of PyTorch.
    operations
        Creates the operations of networks with channels last; None for PyTorch's.
    """

    bag: Bag
    parameters: DemixParameters
    device: torch.device
    precision: Precision
    channels_last: bool = False
    batch_size: int = 1
    threads: int | None = None
    operations: MakeOperations | None = None
    _members: dict[Precision, list[Member]] = field(default_factory=dict)

    def __call__(self, mix: Mix, task: Task, /) -> Stems:
        """Separate `mix`."""
        return Stems(self._whole(mix, self.precision, task, checked=True))

    def stream(self, blocks: Callable[[], Iterator[Mix]], task: Task, /) -> Iterator[Stems]:
        """Separate a song that is read twice: to measure its level, and to separate it.

        The memory is that of a block, of the longest window of the song, and of the segments that are separated at once.
        """

        def first_time() -> Iterator[Tensor]:
            for block in blocks():
                task.progress(0.0)
                yield block.samples

        level = level_of_blocks(first_time(), self.device)
        again = (block.samples for block in blocks())
        for piece in self._pieces(again, level, task):
            yield Stems(piece)

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        wait_for(self.device)

    def precision_errors(self, mix: Mix, task: Task, /) -> dict[Precision, dict[str, float]]:
        """Compare the other precisions of this device with float32."""
        return measure_precisions(
            lambda precision: self.attempt(mix, precision, task), less_exact(self.device)
        )

    def attempt(self, mix: Mix, precision: Precision, task: Task) -> Tensor:
        """Separate `mix` in a precision, without checking the result: float32 ``[4, 2, n]``."""
        return self._whole(mix, precision, task, checked=False)

    def members(self, precision: Precision) -> list[Member]:
        """Return the models for a precision, which are moved to the device on the first call."""
        if precision not in self._members:
            self._members[precision] = ready_members(
                self.bag,
                self.parameters,
                precision,
                self.device,
                channels_last=self.channels_last,
                operations=self.operations,
            )
        return self._members[precision]

    def batch(self, mixes: Sequence[Mix], task: Task, /) -> list[Stems]:
        """Separate several songs, with segments of one and the next at once where one has too few.

        Each has the stems that it has alone, except for rounding, which depends on the number of segments.
        """
        with computing(self.precision, self.threads):
            levels = [level_of(mix.samples) for mix in mixes]
        songs = [
            self._song(iter([mix.samples]), level) for mix, level in zip(mixes, levels, strict=True)
        ]
        stems = [self._room(song.level.samples) for song in songs]
        total, done = sum(song.segments for song in songs), 0
        how = _How(self.batch_size, self.precision)
        while batch := next_batch(songs, how.size):
            if self._separate(batch, how, checked=True):
                done += sum(len(share.parts) for share in batch)
                task.progress(done / total)
                for share in batch:
                    if taken := share.song.take():
                        first, sources = taken
                        out = stems[songs.index(share.song)][..., first:]
                        self._put(sources, share.song.level, out[..., : sources.shape[-1]])
        return [Stems(each) for each in stems]

    def _whole(self, mix: Mix, precision: Precision, task: Task, *, checked: bool) -> Tensor:
        samples = mix.samples
        stems = self._room(samples.shape[-1])
        with computing(precision, self.threads):
            level = level_of(samples)
        end = 0
        for piece in self._sources(iter([samples]), level, precision, task, checked=checked):
            start, end = end, end + piece.shape[-1]
            self._put(piece, level, stems[..., start:end])
        return stems

    def _pieces(self, blocks: Iterator[Tensor], level: Level, task: Task) -> Iterator[Tensor]:
        """Separate a song, and yield its stems in consecutive pieces: float32 ``[4, 2, m]``."""
        for piece in self._sources(blocks, level, self.precision, task, checked=True):
            stems = self._room(piece.shape[-1])
            self._put(piece, level, stems)
            yield stems

    def _sources(
        self,
        blocks: Iterator[Tensor],
        level: Level,
        precision: Precision,
        task: Task,
        *,
        checked: bool,
    ) -> Iterator[Tensor]:
        """Separate a song, and yield its sources, normalised, in consecutive pieces: float32 ``[sources, 2, m]``.

        Blocks are read and pieces are yielded outside of the inference mode, whose tensors other code cannot use.
        """
        song, done = self._song(blocks, level), 0
        how = _How(self.batch_size, precision)
        while batch := next_batch([song], how.size):
            if not self._separate(batch, how, checked=checked):
                continue
            done += len(batch[0].parts)
            task.progress(done / song.segments)
            if taken := song.take():
                yield taken[1]

    def _song(self, blocks: Iterator[Tensor], level: Level) -> Song:
        nothing = torch.zeros(2, 0, dtype=torch.float32, device=self.device)
        return Song(
            level,
            Reading(blocks, level.samples, nothing),
            Sums(len(self.bag.sources), self.device),
            self._passes(level.samples),
        )

    def _passes(self, samples: int) -> list[Pass]:
        own, members = self.parameters, self.members(self.precision)
        starts = draw_starts(
            samples, own.shifts, own.seed, [(member.cut, member.draws) for member in members]
        )
        return [
            Pass(number, segments(start, samples, member.cut), member.cut.segment)
            for number, (member, several) in enumerate(zip(members, starts, strict=True))
            for start in several
        ]

    def _separate(self, batch: list[Share], how: _How, *, checked: bool) -> bool:
        """Separate segments at once, and add them to their songs' sums.

        If not, `how` says how to go on: with fewer at once where the device's memory was too small, or in another
        precision where half precision overflowed.
        """
        count = sum(len(share.parts) for share in batch)
        member, is_good = self.members(how.precision)[batch[0].of.member], True
        read = [share.song.read(share.parts) for share in batch]
        with computing(how.precision, self.threads):
            given = [
                windows(mix, share.parts, share.song.level, first=share.song.reading.first)
                for mix, share in zip(read, batch, strict=True)
            ]
            out = self._estimate(member, given[0] if len(given) == 1 else torch.cat(given))
            if out is not None:
                is_good = not checked or bool(torch.isfinite(out.sum()))
            if out is not None and is_good:
                estimates = torch.split(out, [len(each) for each in given])
                for share, each in zip(batch, estimates, strict=True):
                    self._add(share, each, member)
        if out is None:
            # Outside of the exception handler: the exception refers to the memory of the failed attempt.
            how.size = count // 2
            log.info("Out of memory with %d segments at once; trying %d.", count, how.size)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            return False
        if not is_good:
            if how.precision != "float16":
                raise BackendError(
                    f"The separation in {how.precision} resulted in values that are not finite."
                )
            log.warning(
                "Half precision overflowed in the separation; these segments are repeated, and the"
                " rest is separated, in TensorFloat-32."
            )
            how.precision = "tf32"
            return False
        for share in batch:
            share.of.done += len(share.parts)
        return True

    def _estimate(self, member: Member, segments: Tensor) -> Tensor | None:
        """Separate segments at once; None if the memory of the device is too small for them."""
        try:
            return member.forward(segments)
        except torch.cuda.OutOfMemoryError:
            if len(segments) == 1:
                raise
            return None

    def _add(self, share: Share, estimates: Tensor, member: Member) -> None:
        scale = share.song.level.scale / max(1, self.parameters.shifts)
        for index, (part, estimate) in enumerate(
            zip(share.parts, estimates, strict=True), start=share.of.done
        ):
            weight = share.of.share(index, self.device) * scale
            inside = estimate[..., part.margin : part.margin + part.length]
            share.song.sums.add(part.start, inside, weight, member.weights)

    def _room(self, samples: int) -> Tensor:
        """Allocate stems: float32 ``[4, 2, samples]``."""
        return torch.empty(len(STEMS), 2, samples, dtype=torch.float32, device=self.device)

    def _put(self, sources: Tensor, level: Level, stems: Tensor) -> None:
        """Store sources, at the song's level, as stems."""
        for stem, own in zip(stems, _sources_of_stems(self.bag.sources), strict=True):
            torch.add(sources[own[0]], level.mean, alpha=len(own), out=stem)
            for more in own[1:]:
                stem += sources[more]


@dataclass(eq=False)
class _How:
    """How a separation goes on: most segments at once, and the precision."""

    size: int
    precision: Precision


def _sources_of_stems(sources: tuple[str, ...]) -> list[list[int]]:
    """List the indices of the sources that make up each stem; those without a stem go into ``other``."""
    return [
        [
            index
            for index, source in enumerate(sources)
            if source == stem or (stem == "other" and source not in STEMS)
        ]
        for stem in STEMS
    ]
