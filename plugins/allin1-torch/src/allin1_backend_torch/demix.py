"""The stage ``demix``: equivalent to ``demucs.api.Separator`` of demucs 4.1.0, in memory, on one device.

The song is normalised by the mean and the standard deviation of its mono mix, cut into overlapping segments from a random
start, separated in batches of segments, and joined with a triangular cross-fade; a song that is read block by block is
processed in the same way. On a CPU, segments are processed one by one by the modules of Demucs, some of them rewritten;
on CUDA, many at once by a network with channels last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from allin1_core.contracts.audio import STEMS, Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Setup, StreamingDemix, Task
from allin1_core.errors import BackendError
from torch import Tensor

from allin1_backend_torch.demix_assembly import Pass, Reading, Sums
from allin1_backend_torch.demix_error import measure_precisions
from allin1_backend_torch.demix_level import Level, level_of, level_of_blocks
from allin1_backend_torch.demix_members import Member, ready_members
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

#: Maximum number of segments at once: more give little speed-up on the largest GPUs, and cost 0.2 GB each.
GPU_BATCH = 32

#: Number of multiprocessors of a GPU per segment: so a batch takes about as long on a small GPU, and progress is smooth.
MULTIPROCESSORS_A_SEGMENT = 4


def create(setup: Setup) -> StreamingDemix:
    """Load the models and move them to ``setup.device``.

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
    separation = Separation(
        load_bag(parameters, setup.separator_files),
        parameters,
        device,
        choose_precision(parameters.precision, device),
        channels_last=device.type == "cuda",
        batch_size=parameters.batch_size or usual_batch(device),
        threads=setup.threads if device.type == "cpu" else None,
    )
    separation.members(separation.precision)
    return separation


def usual_batch(device: torch.device) -> int:
    """Return the default number of segments to separate at once."""
    if device.type != "cuda":
        return 1
    count = torch.cuda.get_device_properties(device).multi_processor_count
    return int(min(GPU_BATCH, max(1, count // MULTIPROCESSORS_A_SEGMENT)))


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
    """

    bag: Bag
    parameters: DemixParameters
    device: torch.device
    precision: Precision
    channels_last: bool = False
    batch_size: int = 1
    threads: int | None = None
    _members: dict[torch.dtype, list[Member]] = field(default_factory=dict)

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
        for piece in self._pieces(again, level, self.precision, task, checked=True):
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
        dtype = torch.float16 if precision == "float16" else torch.float32
        if dtype not in self._members:
            self._members[dtype] = ready_members(
                self.bag, self.parameters, dtype, self.device, channels_last=self.channels_last
            )
        return self._members[dtype]

    def _whole(self, mix: Mix, precision: Precision, task: Task, *, checked: bool) -> Tensor:
        samples = mix.samples
        stems = torch.empty(len(STEMS), *samples.shape, dtype=torch.float32, device=self.device)
        with computing(precision, self.threads):
            level = level_of(samples)
        end = 0
        for piece in self._pieces(iter([samples]), level, precision, task, checked=checked):
            start, end = end, end + piece.shape[-1]
            stems[..., start:end] = piece
        return stems

    def _pieces(
        self,
        blocks: Iterator[Tensor],
        level: Level,
        precision: Precision,
        task: Task,
        *,
        checked: bool,
    ) -> Iterator[Tensor]:
        """Separate a song, and yield its stems in consecutive pieces: float32 ``[4, 2, m]``.

        Blocks are read and pieces are yielded outside of the inference mode, whose tensors other code cannot use.
        """
        samples, size = level.samples, self.batch_size
        passes = self._passes(samples)
        nothing = torch.zeros(2, 0, dtype=torch.float32, device=self.device)
        song, sums = Reading(blocks, samples, nothing), Sums(self.device)
        done, count = 0, sum(len(each.parts) for each in passes)
        while left := [each for each in passes if not each.is_done]:
            # All passes advance together, as no stem is final before every pass is.
            one = min(left, key=lambda each: each.next_start)
            batch = one.upcoming(size)
            mix = song.read(
                min(each.first_needed for each in left),
                max(part.window_start + part.window for part in batch),
            )
            sums.grow(batch[-1].start + batch[-1].length)
            member, is_good = self.members(precision)[one.member], True
            with computing(precision, self.threads):
                out = self._estimate(member, windows(mix, batch, level, first=song.first))
                if out is not None:
                    is_good = not checked or bool(torch.isfinite(out.sum()))
                if out is not None and is_good:
                    self._add(sums, one, out, member, level.scale / max(1, self.parameters.shifts))
            if out is None:
                size = len(batch) // 2
                # Outside of the exception handler: the exception refers to the memory of the failed attempt.
                log.info("Out of memory with %d segments at once; trying %d.", len(batch), size)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            if not is_good:
                if precision != "float16":
                    raise BackendError(
                        f"The separation in {precision} resulted in values that are not finite."
                    )
                log.warning(
                    "Half precision overflowed in the separation; these segments are repeated, and the"
                    " rest is separated, in TensorFloat-32."
                )
                precision = "tf32"
                continue
            one.done += len(batch)
            done += len(batch)
            task.progress(done / count)
            final = min((each.next_start for each in passes if not each.is_done), default=samples)
            if final > sums.first:
                yield self._at_level(sums.take(final), level)

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

    def _estimate(self, member: Member, segments: Tensor) -> Tensor | None:
        """Separate segments at once; None if the memory of the device is too small for them."""
        try:
            return member.forward(segments)
        except torch.cuda.OutOfMemoryError:
            if len(segments) == 1:
                raise
            return None

    def _add(self, sums: Sums, one: Pass, out: Tensor, member: Member, scale: Tensor) -> None:
        """Add weighted estimates to the sums; samples before the song are dropped."""
        sources = _sources_of_stems(self.bag.sources)
        for index, estimate in enumerate(out, start=one.done):
            part = one.parts[index]
            before = max(0, -part.start)
            start, end = part.start + before - sums.first, part.start + part.length - sums.first
            if start >= end:
                continue
            weight = one.share(index, self.device)[before:] * scale
            inside = estimate[..., part.margin + before : part.margin + part.length]
            for stem, own in zip(sums.stems, sources, strict=True):
                for source in own:
                    if member.weights[source]:
                        stem[:, start:end].addcmul_(
                            inside[source], weight, value=member.weights[source]
                        )

    def _at_level(self, piece: Tensor, level: Level) -> Tensor:
        for stem, sources in zip(piece, _sources_of_stems(self.bag.sources), strict=True):
            stem += len(sources) * level.mean
        return piece


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
