"""One run through the stages: decide, bring the arrays, call, check, and hand over on failure."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from allin1_core.calibration.difference import keeps_promise
from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.result import StageRecord
from allin1_core.contracts.route import Step
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import GIVES, STAGES, TAKES, Stage, Task
from allin1_core.errors import (
    Allin1Error,
    BackendError,
    ContractError,
    InputError,
    OutputError,
    SelectionError,
    WeightsError,
    brief,
)
from allin1_core.io.audio import AudioInfo
from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles, read_stems, stem_blocks
from allin1_core.runtime.blocks import logits_in_blocks, spectrogram_in_blocks
from allin1_core.runtime.bridging import cross, space_of
from allin1_core.runtime.checking import (
    ReferenceFailedError,
    cut,
    difference_from_reference,
    run_alone,
)
from allin1_core.runtime.streaming import Work, is_long_song, may_stream, reader_of, stream
from allin1_core.selection.decision import Candidate, Decision
from allin1_core.selection.routing import BridgeNetwork

if TYPE_CHECKING:
    from allin1_core.runtime.analysis import Progress
    from allin1_core.runtime.session import Session

log = logging.getLogger(__name__)

#: What a run can start from.
Start = Mix | MixFile | Stems | StemFiles | LogSpectrogram | Logits | Activations

#: Seconds from which on files of stems are read in blocks.
LONG_STEMS_S = 300.0

#: Frames of long stems that are in memory at once: two minutes.
BLOCK_FRAMES = 120 * FRAMES_PER_SECOND

#: Frames from which on the network is given a song in blocks, and the most of a block without its context.
LONG_SONG_FRAMES = 15 * 60 * FRAMES_PER_SECOND
NETWORK_BLOCK_FRAMES = 10 * 60 * FRAMES_PER_SECOND

#: Seconds of audio that a route is chosen for where no file says how long it is.
USUAL_LENGTH_S = 180.0

#: Seconds of a track on which the guard checks a backend.
GUARD_S = 10.0

#: The stages behind the network that each output needs, with what they start from.
_NEEDED: dict[str, tuple[Stage, ...]] = {
    "logits": (),
    "activations": ("metrical_prep",),
    "beats": ("metrical_prep", "metrical_dbn"),
    "sections": ("functional",),
}

#: The stage that needs no accelerator, and that nothing else needs.
_DECODER: tuple[Stage, ...] = ("metrical_dbn",)

_PRODUCT: dict[str, type[Any]] = {
    "logits": Logits,
    "activations": Activations,
    "beats": Metre,
    "sections": Sections,
}


@dataclass
class Run:
    """What a run gave.

    Attributes
    ----------
    products
        The records asked for, by type, in NumPy arrays.
    records
        How each stage was run.
    fallbacks
        A sentence for each backend that was replaced.
    warnings
        What a person should know of the input.
    input
        What went in, for the provenance.
    """

    products: dict[type[Any], Any] = field(default_factory=dict)
    records: list[StageRecord] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    input: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Held:
    """A record, where its arrays lie, and how they came there. Long files are held unread."""

    record: Any
    space: Space
    bridges: tuple[Bridge, ...] = ()


class Pipeline:
    """The state of one run: :meth:`read`, then :meth:`begin`, then :meth:`finish`.

    Between the last two a run has all that an accelerator gives, in NumPy, and lacks what a decoder of the metre does on
    the CPU, if it is left for :meth:`finish`: another thread may do that while the next run begins.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._network = BridgeNetwork(session.offers.bridges)
        self._held: dict[type[Any], _Held] = {}
        self._run = Run()
        self._track = ""
        self._embeddings = False
        self._progress: Progress | None = None
        self._keep: StemsToKeep | None = None
        self._cancelled: BaseException | None = None
        self._done_s = 0.0
        self._total_s = 0.0
        self._audio_s = 0.0
        self._songs = 1
        self._kind: type[Any] = Mix
        self._remaining: list[Stage] = []
        self._wanted: set[type[Any]] = set()
        self._decision: Decision | None = None
        self._planned: list[Step] = []

    def read(self, start: Start) -> None:
        """Take what the run starts from, and read files into memory that are not too long for it.

        Raises
        ------
        ContractError
            A record is not what its contract says.
        InputError
            Files cannot be read.
        """
        self._kind = type(start)
        if isinstance(start, StemFiles):
            self._held[Stems] = _Held(start if is_long(start) else self._read_stems(start), HOST)
        elif isinstance(start, MixFile):
            self._held[Mix] = _Held(start if is_long_song(start) else self._read_mix(start), HOST)
        else:
            # What the caller gives is wrong input, not a backend's broken promise.
            start.validate()
            self._held[type(start)] = _Held(start, space_of_start(start))
            self._run.input = {"kind": type(start).__name__.lower()}
        self._audio_s = seconds_of(start)

    def begin(
        self,
        outputs: frozenset[str],
        *,
        embeddings: bool,
        progress: Progress | None,
        track: str,
        keep: StemsToKeep | None = None,
        songs: int = 1,
    ) -> None:
        """Run what has to run before a decoder of the metre could be left for :meth:`finish`.

        It is left where something ran on another device than the CPU; else there is nothing to gain.
        The route is the best for so many `songs` of this length. Other parameters, and errors, as in
        :meth:`allin1_core.runtime.session.Session.run`.
        """
        self._songs = songs
        self._track, self._embeddings, self._progress = track, embeddings, progress
        self._keep = keep
        self._remaining = needed_stages(self._kind, outputs)
        self._wanted = {_PRODUCT[output] for output in outputs}
        if embeddings:
            self._wanted.add(Logits)
        self._advance(may_pause=True)

    @property
    def is_paused(self) -> bool:
        """Whether a stage is left for :meth:`finish`."""
        return bool(self._remaining)

    def finish(self) -> Run:
        """Run what is left, and give the products.

        Errors as in :meth:`allin1_core.runtime.session.Session.run`.
        """
        self._advance(may_pause=False)
        for kind in self._wanted:
            if kind in self._held:
                self._run.products[kind] = self._home(self._held[kind])
        return self._run

    def _advance(self, *, may_pause: bool) -> None:
        """Run one step after the other, until none remains or, if allowed, only the decoder on the CPU."""
        while self._remaining:
            if not self._planned:
                self._plan()
            if may_pause and self._is_decoder_beside_accelerator(self._planned[0]):
                self._bring_everything_home()
                return
            count = self._try_steps()
            for step in self._planned[:count]:
                done = step.backend.stages
                self._remaining = [stage for stage in self._remaining if stage not in done]
                self._done_s += step.cost_s
            if count:
                del self._planned[:count]
                self._drop_what_is_done_with()
            else:
                self._planned.clear()
                self._bring_everything_home()

    def _plan(self) -> None:
        first = TAKES[self._remaining[0]]
        space = self._held[first].space if first in self._held else HOST
        # What is set up for one song serves all of a batch.
        seconds = self._audio_s * self._songs
        request = self._session.request(tuple(self._remaining), seconds, space)
        self._decision = self._session.decide(request)
        chosen = self._decision.chosen
        log.debug("route for %s: %s", self._track, chosen)
        self._total_s = self._done_s + chosen.cost_s
        # The decoder last, after the sections, which need nothing of it.
        self._planned = sorted(chosen.steps, key=lambda step: step.backend.stages == _DECODER)

    def _is_decoder_beside_accelerator(self, step: Step) -> bool:
        backend = step.backend
        return (
            backend.stages == _DECODER
            and backend.consumes == HOST
            and any(not record.device.startswith("cpu") for record in self._run.records)
        )

    def _read_mix(self, file: MixFile) -> Mix:
        mix, info = file.read()
        self._note_input("mix", [info], info.warnings)
        return mix

    def _read_stems(self, files: StemFiles) -> Stems:
        stems, infos, warnings = read_stems(files)
        self._note_input("stems", infos, warnings)
        return stems

    def _try_steps(self) -> int:
        """Run the next step, or the next two together, and tell how many.

        On failure exclude the backend and return 0, or raise if nothing may replace it.
        """
        steps = self._planned[:2]
        if self._decision is None:
            raise RuntimeError("steps without a decision")
        candidates = [self._decision.candidate(step.backend) for step in steps]
        work: Work[Candidate | None] = Work(candidates[0])
        try:
            if may_stream(self._held[TAKES[steps[0].backend.stage]].record, steps):
                with work.of(candidates[0]):
                    call = self._session.callable_of(candidates[0])
                if hasattr(call, "stream"):
                    self._stream(steps, candidates, work)
                    return 2
            self._do_step(steps[0], candidates[0])
        except (InputError, WeightsError, SelectionError, OutputError):
            raise
        except Exception as error:
            if self._cancelled is not None:
                raise self._cancelled from None
            if work.culprit is None:
                raise
            self._hand_over(work.culprit, error)
            return 0
        return 1

    def _stream(
        self,
        steps: Sequence[Step],
        candidates: Sequence[Candidate],
        work: Work[Candidate | None],
    ) -> None:
        """Separate and transform a long song block by block."""
        (first, second), (separator, transformer) = steps[:2], candidates
        session, file = self._session, self._held[Mix].record
        separate = session.callable_of(separator)
        with work.of(transformer):
            transform = session.callable_of(transformer)
        work.seconds.clear()
        reader = reader_of(file)
        # Stems are cut into blocks, and may be kept, in NumPy arrays.
        home = self._network.way(first.backend.produces, HOST)
        on = self._network.way(HOST, second.backend.consumes)
        back = self._network.way(second.backend.produces, HOST)
        devices = [session.device_of(candidate) for candidate in candidates]
        done = 0.0

        def tell(fraction: float) -> None:
            nonlocal done
            done = max(done, fraction)
            self._tell("demix", (first.cost_s + second.cost_s) * done)

        def separated(blocks: Callable[[], Iterator[Mix]]) -> Iterator[Stems]:
            def brought() -> Iterator[Mix]:
                for mix in blocks():
                    tell(done)
                    yield cross(mix, first.bridges, devices[0])

            for stems in separate.stream(brought, Task(progress=tell)):
                _wait_for(separate)
                yield cross(stems, home, "cpu")

        def transformed(stems: Stems) -> LogSpectrogram:
            self._tell("spectrogram", (first.cost_s + second.cost_s) * done)
            if session.must_check(transformer):
                self._check(transformer, transform, cut(stems, GUARD_S))
            frames = transform(cross(stems, on, devices[1]), Task())
            _wait_for(transform)
            brought: LogSpectrogram = cross(frames, back, "cpu")
            return brought.validate()

        tell(0.0)
        with ExitStack() as stack:
            write = None
            if self._keep is not None:
                write = stack.enter_context(
                    self._keep.writing(lambda: reader.samples, _by(separator))
                )
            who = (None, separator, transformer)
            spectrogram = stream(reader, separated, transformed, work, who, write)
        if reader.info is not None:
            self._note_input("mix", [reader.info], reader.info.warnings)
        self._held[LogSpectrogram] = _Held(spectrogram.validate(), HOST)
        now, seconds = time.time(), work.seconds
        self._note_stage(first, separator, first.bridges, seconds[separator], now)
        self._note_stage(second, transformer, [*home, *on], seconds[transformer], now)

    def _do_step(self, step: Step, candidate: Candidate) -> None:
        backend, session = step.backend, self._session
        call = session.callable_of(candidate)
        if session.must_check(candidate):
            self._check(candidate, call, self._slice(self._held[TAKES[backend.stage]]))
        task = Task(
            embeddings=self._embeddings,
            progress=lambda fraction: self._tell(backend.stage, step.cost_s * fraction),
        )
        self._tell(backend.stage, 0.0)
        held = self._held[TAKES[backend.stage]]
        if isinstance(held.record, MixFile):
            held = self._held[Mix] = _Held(self._read_mix(held.record), HOST)
        # Not the route's bridges: what came in blocks lies in NumPy arrays, wherever the route has it.
        bridges = self._network.way(held.space, backend.consumes)
        began = time.perf_counter()
        if isinstance(held.record, StemFiles):
            output, space = self._from_files(held.record, bridges, candidate, call, task)
        elif backend.stages == ("nn",) and self._needs_blocks(held.record):
            output, space = self._network_in_blocks(held, candidate, call, task)
        else:
            data = cross(held.record, bridges, session.device_of(candidate))
            output, space = call(data, task), backend.produces
        _wait_for(call)
        seconds, ended = time.perf_counter() - began, time.time()
        gives = GIVES[backend.stages[-1]]
        if not isinstance(output, gives):
            raise ContractError(f"It gave {type(output).__name__}; wanted {gives.__name__}.")
        output.validate()
        self._held[gives] = _Held(output, space)
        if gives is Logits and space != HOST:
            # NaN on a device would pass unseen into "no beats"; a few numbers a frame are cheap to look at.
            self._home(_Held(_without_embeddings(output), space)).validate()
        if gives is Stems and self._keep is not None:
            length = int(output.samples.shape[-1])
            with self._keep.writing(lambda: length, _by(candidate)) as write:
                write(self._home(_Held(output, space)))
        self._note_stage(step, candidate, (*held.bridges, *bridges), seconds, ended)

    def _note_stage(
        self,
        step: Step,
        candidate: Candidate,
        bridges: Sequence[Bridge],
        seconds: float,
        ended: float,
    ) -> None:
        """Keep the record of a stage that has run, and tell of it."""
        session = self._session
        record = StageRecord(
            stages=step.backend.stages,
            backend=step.backend.name,
            plugin=candidate.plugin.name,
            version=candidate.plugin.version,
            device=session.device_of(candidate),
            seconds=round(seconds, 6),
            copies=tuple(f"{b.source} to {b.destination}" for b in bridges),
        )
        self._run.records.append(record)
        session.note_timing(record, ended=ended, track=self._track)
        session.observe("allin1_stage_finished", track=self._track, record=record)

    def _check(self, candidate: Candidate, call: Any, data: Any) -> None:
        """Compare a backend with the reference on `data`, a slice of its input; tell where the reference itself fails.

        Raises
        ------
        BackendError
            If it differs by more than it promises.
        """
        backend, session = candidate.backend, self._session
        device = session.device_of(candidate)
        output = run_alone(backend, call, self._network, device, data)
        setup = session.setup_of(candidate)
        try:
            difference = difference_from_reference(session.offers, backend, setup, data, output)
        except ReferenceFailedError as error:
            log.warning(
                "The guard could not check backend %s=%s: %s.", backend.stage, backend.name, error
            )
            session.note_checked(candidate)
            return
        if not keeps_promise(backend.parity, difference):
            raise BackendError(
                f"It broke its promise: on {data.duration_s:.4g} s of {self._track or 'the track'} it differs"
                f" from the reference by {difference:.3g}; promised: {backend.parity}."
            )
        session.note_checked(candidate)

    def _slice(self, held: _Held) -> Any:
        """The middle of what is held, in NumPy arrays; files are read up to there."""
        if not isinstance(held.record, StemFiles):
            return cut(self._home(held), GUARD_S)
        skipped = int((held.record.duration_s or 0.0) / GUARD_S / 2)
        last = None
        blocks = stem_blocks(held.record, round(GUARD_S * FRAMES_PER_SECOND))
        for number, samples in enumerate(blocks):
            last = samples
            if number == skipped:
                break
        blocks.close()
        if last is None:
            raise InputError("The stems hold no samples.", path=held.record.source)
        return Stems(last)

    def _from_files(
        self,
        files: StemFiles,
        bridges: Sequence[Bridge],
        candidate: Candidate,
        call: Any,
        task: Task,
    ) -> tuple[Any, Space]:
        """Read stems and run the stage on them, block by block where they are long."""
        backend, device = candidate.backend, self._session.device_of(candidate)
        if is_long(files) and backend.stages == ("spectrogram",):
            home = self._network.way(backend.produces, HOST)

            def transform(stems: Stems) -> LogSpectrogram:
                frames: LogSpectrogram = call(cross(stems, bridges, device), task)
                return cross(frames, home, "cpu")

            return spectrogram_in_blocks(self._blocks(files, task), transform), HOST
        stems = self._read_stems(files)
        return call(cross(stems, bridges, device), task), backend.produces

    def _needs_blocks(self, spectrogram: LogSpectrogram) -> bool:
        frames = int(spectrogram.frames.shape[1])
        return self._session.card.context_frames is not None and frames > LONG_SONG_FRAMES

    def _network_in_blocks(
        self, held: _Held, candidate: Candidate, call: Any, task: Task
    ) -> tuple[Logits, Space]:
        """Run the network on one block after the other, each with the context that its logits depend on."""
        backend, device = candidate.backend, self._session.device_of(candidate)
        # Cut in NumPy: not every library's arrays can be.
        spectrogram = self._home(held).frames
        away = self._network.way(HOST, backend.consumes)
        home = self._network.way(backend.produces, HOST)
        frames = int(spectrogram.shape[1])
        done = 0

        def network(span: slice) -> Logits:
            nonlocal done
            first, done = done, span.stop
            part = Task(
                embeddings=task.embeddings,
                progress=lambda f: task.progress((first + f * (span.stop - first)) / frames),
            )
            block = cross(LogSpectrogram(spectrogram[:, span]), away, device)
            logits: Logits = call(block, part)
            return cross(logits, home, "cpu")

        context = self._session.card.context_frames or 0
        return logits_in_blocks(frames, network, context=context, length=NETWORK_BLOCK_FRAMES), HOST

    def _blocks(self, files: StemFiles, task: Task) -> Iterator[Stems]:
        blocks = stem_blocks(files, BLOCK_FRAMES)
        read_s = 0.0
        while True:
            try:
                samples = next(blocks)
            except StopIteration as end:
                self._note_input("stems", *end.value)
                return
            yield Stems(samples)
            read_s += samples.shape[-1] / SAMPLE_RATE
            task.progress(min(1.0, read_s / (files.duration_s or math.inf)))

    def _note_input(self, kind: str, infos: Sequence[AudioInfo], warnings: Sequence[str]) -> None:
        self._run.input = {"kind": kind, "files": [describe_file(info) for info in infos]}
        self._run.warnings = list(warnings)

    def _hand_over(self, candidate: Candidate, error: Exception) -> None:
        """Exclude a backend that failed, and say so once; raise if the user had named it."""
        backend = candidate.backend
        name = f"{backend.stage}={backend.name}"
        reason = error.message if isinstance(error, Allin1Error) else brief(error)
        if self._session.is_named(candidate):
            raise BackendError(
                f"The backend asked for, {name}{self._session.source_of(candidate)}, failed: {reason}",
                remedy="Leave the stage to auto to let another take over.",
            ) from error
        log.debug("backend %s failed", name, exc_info=error)
        is_news = self._session.exclude(candidate, reason)
        text = f"Backend {name} failed and was replaced: {reason}"
        self._run.fallbacks.append(text)
        # A run that had chosen it before another one found out is not told of again.
        log.log(logging.WARNING if is_news else logging.DEBUG, "%s", text)

    def _bring_everything_home(self) -> None:
        """Bring what is held to NumPy, from where every way leads on."""
        self._held = {
            kind: held
            if isinstance(held.record, (MixFile, StemFiles))
            else _Held(self._home(held), HOST, self._network.way(held.space, HOST))
            for kind, held in self._held.items()
        }

    def _home(self, held: _Held) -> Any:
        return cross(held.record, self._network.way(held.space, HOST), "cpu")

    def _drop_what_is_done_with(self) -> None:
        needed = {TAKES[stage] for stage in self._remaining} | self._wanted
        self._held = {kind: held for kind, held in self._held.items() if kind in needed}

    def _tell(self, stage: Stage, done_s: float) -> None:
        if self._progress is None or self._total_s <= 0:
            return
        try:
            self._progress(stage, min(1.0, (self._done_s + done_s) / self._total_s))
        except BaseException as error:
            # The caller cancels. It passes through a backend, whose failure it is not.
            self._cancelled = error
            raise


def describe_file(info: AudioInfo) -> dict[str, Any]:
    """What stands of an audio file in a result's provenance."""
    return {
        "path": str(info.path),
        "format": f"{info.format} {info.subtype}".strip(),
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "frames": info.frames,
        "decoder": info.decoder,
    }


def is_long(files: StemFiles) -> bool:
    """Whether stems are too long to be read whole, or their files do not say how long they are."""
    return files.duration_s is None or files.duration_s > LONG_STEMS_S


def seconds_of(start: Start) -> float:
    """Seconds of audio in `start`; the usual length where its files do not say."""
    length = start.duration_s
    return USUAL_LENGTH_S if length is None else length


def space_of_start(start: Start) -> Space:
    """Where the arrays of `start` lie; files are read into NumPy."""
    if isinstance(start, (MixFile, StemFiles)):
        return HOST
    return space_of(getattr(start, start.ARRAYS[0]))


def needed_stages(start: type[Any], outputs: frozenset[str]) -> list[Stage]:
    """List the stages that lead from a record of type `start` (or files of stems) to `outputs`, in order.

    Raises
    ------
    InputError
        If an output is unknown, or lies before the start.
    """
    unknown = outputs - set(_PRODUCT)
    if unknown or not outputs:
        raise InputError(
            f"No output is called {', '.join(sorted(unknown)) or '(nothing)'}.",
            remedy=f"Outputs are {', '.join(_PRODUCT)}.",
        )
    kind = Stems if start is StemFiles else Mix if start is MixFile else start
    tail = {stage for output in outputs for stage in _NEEDED[output]}
    if kind is Activations:
        if outputs != {"beats"}:
            raise InputError("From activations only beats can be found.")
        return ["metrical_dbn"]
    head = [s for s in STAGES[:3] if STAGES.index(s) >= _first_stage(kind)]
    return [*head, *(stage for stage in STAGES[3:] if stage in tail)]


def _first_stage(kind: type[Any]) -> int:
    return next((i for i, stage in enumerate(STAGES[:3]) if TAKES[stage] is kind), 3)


def _by(candidate: Candidate) -> tuple[str, ...]:
    return candidate.backend.name, candidate.plugin.name, candidate.plugin.version


def _wait_for(call: Any) -> None:
    """Let a backend finish, whose device may work on after a call has returned."""
    synchronize = getattr(call, "synchronize", None)
    if synchronize is not None:
        synchronize()


def _without_embeddings(logits: Logits) -> Logits:
    return Logits(logits.beat, logits.downbeat, logits.section, logits.function)
