"""Running a step of a route: on the whole input, in blocks, or two steps together as a stream."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from allin1_core.contracts.arrays import length_of, part_of
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.route import Step
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import Stage, Task
from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.reference.steady_grid import correction_warning, find_grid, on_grid
from allin1_core.runtime.backends import wait_for
from allin1_core.runtime.blocks import logits_in_blocks, spectrogram_in_blocks
from allin1_core.runtime.borders import check_output
from allin1_core.runtime.checking import cut
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.guard import GUARD_S, sample_of
from allin1_core.runtime.holding import Held
from allin1_core.runtime.moving import bring_home, cross, read_only
from allin1_core.runtime.plan import DECODER, is_in_blocks
from allin1_core.runtime.reading import FilesRead, about_mix, read_in_blocks
from allin1_core.runtime.streaming import Work, reader_of, stream
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate

log = logging.getLogger(__name__)

D = TypeVar("D")

#: Frames of long files that are in memory at a time: two minutes.
BLOCK_FRAMES = 120 * FRAMES_PER_SECOND

#: Maximum number of frames of a long song that the network receives at once, without their context.
NETWORK_BLOCK_FRAMES = 10 * 60 * FRAMES_PER_SECOND


@dataclass(frozen=True)
class Job:
    """Properties of a run that its steps need.

    Attributes
    ----------
    engine
        Sets up backends and checks them.
    audio_s
        Length of the song in seconds; None if it is unknown.
    network
        The bridges of the route.
    track
        Name of the track, for messages.
    embeddings
        Whether the network returns its embeddings.
    keep
        Where stems are kept, if the run separates.
    progress
        Called with the running stage, and the share of the route's estimated seconds that its step has completed.
    was_read
        Called with information about files that a step has read.
    """

    engine: Engine
    network: BridgeNetwork
    track: str
    embeddings: bool
    keep: StemsToKeep | None
    progress: Callable[[Stage, float], None]
    was_read: Callable[[FilesRead], None]
    audio_s: float | None = None

    def task(self, progress: Callable[[float], None]) -> Task:
        """Create the task for one call of a backend, which reports to `progress`."""
        return Task(self.embeddings, progress, self.track, self.audio_s)

    def check(self, output: Any, worker: _Worker, taken: Any = None) -> None:
        """Check the output of a backend for the input `taken`; errors are those of :func:`check_output`."""
        backend = worker.step.backend
        check_output(output, backend.stages, backend.produces, taken, self.engine.card.labels)


@dataclass(frozen=True)
class Ran:
    """A step that has run.

    Attributes
    ----------
    step, candidate
        The step, and the candidate that ran it.
    output
        Its output; None if it was passed on block by block.
    bridges
        Bridges over which its input was moved.
    seconds, ended
        Duration in seconds, and the end in seconds since 1970.
    """

    step: Step
    candidate: Candidate
    output: Held | None
    bridges: tuple[Bridge, ...]
    seconds: float
    ended: float


@dataclass(frozen=True)
class _Worker:
    """The backend of a step, set up."""

    step: Step
    call: Any
    device: str

    @property
    def consumes(self) -> Space:
        return self.step.backend.consumes

    @property
    def produces(self) -> Space:
        return self.step.backend.produces

    def takes(self, record: D, bridges: Sequence[Bridge]) -> D:
        """Move a record to the space of the backend, read-only."""
        return read_only(cross(record, bridges, self.device))


def author_of(candidate: Candidate) -> tuple[str, str, str]:
    """Backend, plugin and version, for the note next to kept stems."""
    return candidate.backend.name, candidate.plugin.name, candidate.plugin.version


def run_step(job: Job, step: Step, candidate: Candidate, held: Held) -> Ran:
    """Run a step on its input, in blocks if that is long.

    Raises
    ------
    ContractError
        The output violates the contract of the stage.
    """
    engine = job.engine
    job.progress(step.backend.stage, 0.0)
    worker = _Worker(step, engine.backends.callable_of(candidate), engine.devices.of(candidate))
    if engine.guard.must_check(candidate):
        sample = sample_of(held.record, held.space, job.network)
        engine.guard.check(candidate, worker.call, sample, job.network, job.track)
    way = _whole
    if is_in_blocks(held.record, step, engine.card):
        way = _files_in_blocks if held.is_file else _network_in_blocks
    bridges = job.network.way(held.space, worker.consumes)
    task = job.task(lambda fraction: job.progress(step.backend.stage, step.cost_s * fraction))
    began = time.perf_counter()
    output = way(job, worker, held, task)
    if step.backend.stages == DECODER and engine.backends.metre.steady_phase:
        output = _on_one_grid(job, worker, held, output, task)
    wait_for(worker.call)
    seconds, ended = time.perf_counter() - began, time.time()
    taken = None if held.is_file else held.record
    labels = engine.card.labels
    check_output(output.record, step.backend.stages, output.space, taken, labels)
    return Ran(step, candidate, output, (*held.bridges, *bridges), seconds, ended)


def _whole(job: Job, worker: _Worker, held: Held, task: Task) -> Held:
    """Process the whole input at once."""
    data = worker.takes(held.record, job.network.way(held.space, worker.consumes))
    return Held(worker.call(data, task), worker.produces)


def _on_one_grid(job: Job, worker: _Worker, held: Held, decoded: Held, task: Task) -> Held:
    """Decode again if a passage of a steady song is half a beat off the rest."""
    activations = bring_home(held.record, held.space, job.network)
    check_output(decoded.record, worker.step.backend.stages, decoded.space, held.record)
    metre = bring_home(decoded.record, decoded.space, job.network)
    grid = find_grid(activations, metre.beat_times_s)
    if grid is None:
        return decoded
    log.debug("some beats of %s are half a beat off the others: %s", job.track, grid)
    threshold = job.engine.backends.metre.threshold or 0.0
    corrected = on_grid(activations, grid, threshold)
    data = worker.takes(corrected, job.network.way(HOST, worker.consumes))
    again: Metre = worker.call(data, task)
    return Held(
        replace(again, warnings=(*again.warnings, correction_warning(grid))), worker.produces
    )


def _files_in_blocks(job: Job, worker: _Worker, held: Held, task: Task) -> Held:
    """Compute the spectrogram of a long song, or of long stems, while the files are read."""
    there = job.network.way(HOST, worker.consumes)

    def transform(block: Mix | Stems) -> LogSpectrogram:
        frames: LogSpectrogram = worker.call(worker.takes(block, there), task)
        job.check(frames, worker, block)
        return bring_home(frames, worker.produces, job.network)

    def blocks() -> Iterator[Mix | Stems]:
        read_s = 0.0
        reading = read_in_blocks(held.record, BLOCK_FRAMES)
        while True:
            try:
                block = next(reading)
            except StopIteration as end:
                job.was_read(end.value)
                return
            yield block
            read_s += block.duration_s
            task.progress(min(1.0, read_s / (held.record.duration_s or math.inf)))

    home = job.network.way(worker.produces, HOST)
    return Held(spectrogram_in_blocks(blocks(), transform), HOST, home)


def _network_in_blocks(job: Job, worker: _Worker, held: Held, task: Task) -> Held:
    """Run the network on one block after another, each with the context on which its logits depend."""
    # Split in NumPy, because arrays of some libraries cannot be sliced.
    spectrogram = bring_home(held.record, held.space, job.network)
    there = job.network.way(HOST, worker.consumes)
    frames = length_of(spectrogram)
    done = 0

    def network(span: slice) -> Logits:
        nonlocal done
        first, done = done, span.stop
        part = job.task(lambda f: task.progress((first + f * (span.stop - first)) / frames))
        block = worker.takes(part_of(spectrogram, span.start, span.stop), there)
        logits: Logits = worker.call(block, part)
        job.check(logits, worker, block)
        return bring_home(logits, worker.produces, job.network)

    context = job.engine.card.context_frames or 0
    logits = logits_in_blocks(frames, network, context=context, length=NETWORK_BLOCK_FRAMES)
    return Held(logits, HOST, job.network.way(worker.produces, HOST))


def stream_steps(
    job: Job,
    steps: list[Step],
    candidates: list[Candidate],
    held: Held,
    work: Work[Candidate | None],
) -> list[Ran]:
    """Separate and transform a long song block by block; `work` attributes time and failures."""
    engine, network = job.engine, job.network
    (first, second), (separator, transformer) = steps, candidates
    with work.of(separator):
        separate = engine.backends.callable_of(separator)
    with work.of(transformer):
        transform = engine.backends.callable_of(transformer)
    work.seconds.clear()
    reader = reader_of(held.record)
    # Stems are regrouped, and possibly kept, in NumPy arrays.
    home = network.way(first.backend.produces, HOST)
    on = network.way(HOST, second.backend.consumes)
    devices = [engine.devices.of(candidate) for candidate in candidates]
    done = 0.0

    def report(stage: Stage, fraction: float) -> None:
        nonlocal done
        done = max(done, fraction)
        job.progress(stage, (first.cost_s + second.cost_s) * done)

    def separated(blocks: Callable[[], Iterator[Mix]]) -> Iterator[Stems]:
        def brought() -> Iterator[Mix]:
            for mix in blocks():
                report("demix", done)
                yield read_only(cross(mix, first.bridges, devices[0]))

        for stems in separate.stream(brought, job.task(lambda f: report("demix", f))):
            wait_for(separate)
            check_output(stems, first.backend.stages, first.backend.produces)
            yield cross(stems, home, HOST.device)

    def transformed(stems: Stems) -> LogSpectrogram:
        report("spectrogram", done)
        if engine.guard.must_check(transformer):
            engine.guard.check(transformer, transform, cut(stems, GUARD_S), network, job.track)
        frames = transform(read_only(cross(stems, on, devices[1])), job.task(lambda _: None))
        wait_for(transform)
        check_output(frames, second.backend.stages, second.backend.produces, stems)
        brought: LogSpectrogram = bring_home(frames, second.backend.produces, network)
        return brought.validate()

    report("demix", 0.0)
    with ExitStack() as stack:
        write = None
        if job.keep is not None:
            writing = job.keep.writing(lambda: reader.samples, author_of(separator))
            write = stack.enter_context(writing)
        who = (None, separator, transformer)
        spectrogram = stream(reader, separated, transformed, work, who, write)
    if reader.info is not None:
        job.was_read(about_mix(reader.info))
    now, seconds = time.time(), work.seconds
    output = Held(spectrogram, HOST, network.way(second.backend.produces, HOST))
    return [
        Ran(first, separator, None, first.bridges, seconds[separator], now),
        Ran(second, transformer, output, (*home, *on), seconds[transformer], now),
    ]
