"""The stage ``demix``: what ``demucs.api.Separator`` of demucs 4.1.0 computes, in memory, on one device.

The song is normalised by the mean and the standard deviation of its mono mix, cut into overlapping segments from a random
start, separated a batch of segments at a time, and put together with a triangular cross-fade. On a CPU the segments go
through Demucs' own modules one by one; on CUDA many at once through a network with channels last.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from allin1_core.contracts.audio import STEMS, Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Demix, Setup, Task
from allin1_core.errors import BackendError, InputError
from torch import Tensor

from allin1_backend_torch.demix_members import Forward, Member, ready_members
from allin1_backend_torch.demix_models import Bag, load_bag
from allin1_backend_torch.demix_precision import Precision, choose_precision, computing
from allin1_backend_torch.demix_segments import (
    Segment,
    draw_starts,
    segments,
    total_weight,
    triangle,
    windows,
)
from allin1_backend_torch.waiting import Waiting

log = logging.getLogger(__name__)

#: Segments at once: more than this gain little on the largest GPUs, and cost 0.2 GB each.
GPU_BATCH = 32

#: Added to the standard deviation of the song.
EPS = 1e-8


def create(setup: Setup) -> Demix:
    """Load the models and bring them to ``setup.device``.

    Raises
    ------
    WeightsError
        If the models' files cannot be had; the message names them.
    InputError
        If the parameters do not fit the models.
    ContractError
        If the parameters are out of range.
    """
    parameters = setup.demix.validate()
    device = torch.device(setup.device)
    separation = Separation(
        load_bag(parameters),
        parameters,
        device,
        choose_precision(parameters.precision, device),
        channels_last=device.type == "cuda",
        batch_size=parameters.batch_size or (GPU_BATCH if device.type == "cuda" else 1),
        threads=setup.threads if device.type == "cpu" else None,
    )
    separation.members(separation.precision)
    return Waiting(separation, device)


@dataclass(frozen=True, eq=False)
class Separation:
    """Separates songs with a bag of models.

    Attributes
    ----------
    bag
        The models.
    parameters
        What is asked for.
    device
        Where.
    precision
        In which precision, unless half precision overflows.
    channels_last
        Whether models run with channels last, where their architecture is known.
    batch_size
        Most segments at once.
    threads
        Threads on a CPU; None for PyTorch's own choice.
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
        precision = self.precision
        stems = self.attempt(mix, precision, task)
        if precision == "float16" and not _is_finite(stems):
            log.warning(
                "Half precision overflowed in the separation; it is repeated in TensorFloat-32."
            )
            precision = "tf32"
            stems = self.attempt(mix, precision, task)
        if not _is_finite(stems):
            raise BackendError(f"The separation in {precision} gave values that are no numbers.")
        return Stems(stems)

    def attempt(self, mix: Mix, precision: Precision, task: Task) -> Tensor:
        """Separate `mix` in a precision, whatever comes out: float32 ``[4, 2, n]``."""
        samples = mix.samples
        stems = torch.zeros(len(STEMS), *samples.shape, dtype=torch.float32, device=self.device)
        self._separate(samples, stems, precision, task)
        return stems

    def members(self, precision: Precision) -> list[Member]:
        """Give the models for a precision, brought to the device at the first call."""
        dtype = torch.float16 if precision == "float16" else torch.float32
        if dtype not in self._members:
            self._members[dtype] = ready_members(
                self.bag, self.parameters, dtype, self.device, channels_last=self.channels_last
            )
        return self._members[dtype]

    def _separate(self, mix: Tensor, stems: Tensor, precision: Precision, task: Task) -> None:
        """Add the stems to `stems`, in place."""
        members, own = self.members(precision), self.parameters
        samples = mix.shape[-1]
        starts = draw_starts(
            samples, own.shifts, own.seed, [(member.cut, member.draws) for member in members]
        )
        runs = [
            (member, segments(start, samples, member.cut))
            for member, several in zip(members, starts, strict=True)
            for start in several
        ]
        done, count = 0, sum(len(parts) for _, parts in runs)
        with computing(precision, self.threads):
            mono = mix.mean(0)
            mean = mono.mean()
            deviation = mono.std() if samples > 1 else torch.zeros_like(mean)
            scale = deviation + EPS
            if not bool(torch.isfinite(scale)):
                raise InputError("The song holds samples that are no numbers.")
            for member, parts in runs:
                fade = triangle(member.cut.segment, self.device)
                total = total_weight(parts, fade)
                share = scale / max(1, own.shifts)
                for batch, out in self._estimates(member.forward, mix, parts, mean, scale):
                    for part, estimate in zip(batch, out, strict=True):
                        offset = part.start - parts[0].start
                        weight = fade[: part.length] / total[offset : offset + part.length] * share
                        self._add(stems, part, estimate, weight, member.weights)
                    done += len(batch)
                    task.progress(done / count)
            for stem, sources in zip(stems, _sources_of_stems(self.bag.sources), strict=True):
                stem += len(sources) * mean

    def _estimates(
        self, forward: Forward, mix: Tensor, parts: Sequence[Segment], mean: Tensor, scale: Tensor
    ) -> Iterator[tuple[Sequence[Segment], Tensor]]:
        """Separate segments in batches, which are halved when the device's memory runs out."""
        size = self.batch_size
        todo = list(parts)
        while todo:
            # Models without a length of their own take the last segments as short as they are.
            _, same = next(itertools.groupby(todo, lambda part: part.window))
            batch = list(itertools.islice(same, size))
            try:
                out = forward(windows(mix, batch, mean, scale))
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                size = len(batch) // 2
            else:
                todo = todo[len(batch) :]
                yield batch, out
                continue
            # Out of the exception's reach, which holds what the failed attempt had allocated.
            log.info("Out of memory with %d segments at once; trying %d.", len(batch), size)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _add(
        self,
        stems: Tensor,
        part: Segment,
        estimate: Tensor,
        weight: Tensor,
        shares: tuple[float, ...],
    ) -> None:
        """Add a segment's estimate, weighted, to where it belongs; what lies before the song is dropped."""
        before = max(0, -part.start)
        start, end = part.start + before, part.start + part.length
        if start >= end:
            return
        inside = estimate[..., part.margin + before : part.margin + part.length]
        for stem, sources in zip(stems, _sources_of_stems(self.bag.sources), strict=True):
            for source in sources:
                if shares[source]:
                    stem[:, start:end].addcmul_(
                        inside[source], weight[before:], value=shares[source]
                    )


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


def _is_finite(stems: Tensor) -> bool:
    return bool(torch.isfinite(stems.sum()))
