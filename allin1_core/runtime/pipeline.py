"""One run through the stages: planning, running one step after another, and replacing backends that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.result import StageRecord
from allin1_core.contracts.route import Step
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Stage, given_by
from allin1_core.errors import (
    PLUGIN_FAILURES,
    Allin1Error,
    BackendError,
    InputError,
    OutputError,
    SelectionError,
    WeightsError,
    brief,
    is_out_of_memory,
)
from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.runtime.batch_separation import MOST_SONG_S, Separation
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.holding import Held, Holdings
from allin1_core.runtime.plan import (
    DECODER,
    Products,
    Start,
    Wanted,
    is_in_blocks,
    is_streamed,
    seconds_of,
    stages_from,
    stages_in_blocks,
    takes,
)
from allin1_core.runtime.reading import FilesRead, ReadWhole, read_whole
from allin1_core.runtime.steps import Job, Ran, author_of, run_step, stream_steps
from allin1_core.runtime.streaming import Work
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.decision import Decision

log = logging.getLogger(__name__)

#: Called with the name of the running stage and the fraction of the whole track that is done.
Progress = Callable[[str, float], None]


@dataclass
class Run:
    """The outcome of a run.

    Attributes
    ----------
    products
        The requested records.
    records
        How each stage was run.
    fallbacks
        A sentence for each backend that was replaced.
    warnings
        Sentences about the input for the user.
    input
        Description of the input, for the provenance.
    """

    products: Products = field(default_factory=Products)
    records: list[StageRecord] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    input: dict[str, Any] = field(default_factory=dict)


class Pipeline:
    """The state of one run: :meth:`read`, :meth:`request`, :meth:`begin`, then :meth:`finish`.

    Between the last two, the outputs of accelerators are in NumPy, and at most a metre decoder on the CPU is left for
    :meth:`finish`, which another thread may run while the next run begins.

    Parameters
    ----------
    engine
        The parts of the session that run a model.
    fallbacks
        Fallbacks of an earlier run, which this one replaces.
    """

    def __init__(self, engine: Engine, fallbacks: Sequence[str] = ()) -> None:
        self._engine = engine
        self._run = Run(fallbacks=[*fallbacks])
        self._holdings = Holdings(engine.card, self._note_files)
        self._wanted: Wanted | None = None
        self._track = ""
        self._progress = CallerProgress(None)
        self._keep: StemsToKeep | None = None
        self._out_of_memory: dict[tuple[Stage, str], str] = {}
        self._done_s = 0.0
        self._total_s = 0.0
        self._audio_s = 0.0
        self._length_s: float | None = None
        self._songs = 1
        self._kind: type[Any] = Mix
        self._remaining: tuple[Stage, ...] = ()
        self._decision: Decision | None = None
        self._planned: list[Step] = []
        self._planned_after = 0
        self._on_accelerator: Callable[[], object] | None = None
        self._separated: Ran | None = None

    def read(self, start: Start, read_files: ReadWhole = read_whole) -> None:
        """Take the input of the run; files are read, by `read_files`, unless they are too long to be held in memory.

        Raises
        ------
        ContractError
            A record violates its contract.
        InputError
            Files cannot be read.
        BackendError
            Backends were set up before this process was forked.
        """
        self._engine.backends.check_process()
        self._run.input = {"kind": type(start).__name__.lower()}
        self._holdings.start(start, self._network, read_files)
        self._kind = type(start)
        self._length_s = start.duration_s
        self._audio_s = seconds_of(start)

    def request(
        self,
        wanted: Wanted,
        *,
        progress: Progress | None = None,
        track: str = "",
        keep: StemsToKeep | None = None,
        songs: int = 1,
    ) -> None:
        """State what the run is to compute, by the best route for `songs` songs of this length; the first call counts.

        Other parameters, and errors, are those of :meth:`allin1_core.runtime.session.Session.run`.
        """
        if self._wanted is None:
            self._wanted = wanted
            self._songs = songs
            self._track, self._progress, self._keep = track, CallerProgress(progress), keep
            self._remaining = stages_from(self._kind, wanted, self._engine.card)

    def plan(self) -> None:
        """Choose the route in advance, in the thread that reads the song, unless measurements decide."""
        if self._remaining and not self._planned and self._engine.measure is None:
            self._plan()

    def begin(self, on_accelerator: Callable[[], object] | None = None) -> None:
        """Run the stages, except a metre decoder that can be left for :meth:`finish`.

        It is left if another stage ran on a device other than the CPU; otherwise nothing would be gained. If the route
        uses such a device, `on_accelerator` is called before its backends are set up. Errors are those of
        :meth:`allin1_core.runtime.session.Session.run`.
        """
        self._progress.check()
        self._on_accelerator = on_accelerator
        if self._separated is None:
            self._drop_outdated_plan()
        self._advance(may_pause=True)

    def separation(self) -> Separation | None:
        """The first step, if it separates a short song on a device, with a backend that can separate several at once.

        It plans the run. Errors are those of :meth:`begin`.
        """
        if self._remaining[:1] != ("demix",) or self._separated is not None:
            return None
        held = self._holdings.of("demix")
        if held.is_file or held.record.duration_s > MOST_SONG_S:
            return None
        self._drop_outdated_plan()
        if not self._planned:
            self._plan()
        step = self._planned[0]
        if self._decision is None or step.backend.stages != ("demix",) or not step.backend.batches:
            return None
        candidate = self._decision.candidate(step.backend)
        is_on_cpu = self._engine.devices.of(candidate).startswith("cpu")
        if is_on_cpu or self._engine.guard.must_check(candidate):
            return None
        if not self._engine.chooser.confirm(candidate):
            return None
        return Separation(self._job(), step, candidate, held)

    def take_separated(self, ran: Ran) -> None:
        """Use the output of :meth:`separation`, which ran together with those of other runs."""
        self._separated = ran

    @property
    def fallbacks(self) -> Sequence[str]:
        """A sentence for each backend that has been replaced so far."""
        return self._run.fallbacks

    @property
    def is_paused(self) -> bool:
        """Whether a stage is left for :meth:`finish`."""
        return bool(self._remaining)

    def finish(self) -> Run:
        """Run the remaining stages, and return the outcome.

        Errors are those of :meth:`allin1_core.runtime.session.Session.run`.
        """
        self._advance(may_pause=False)
        found = {name: self._holdings.get(kind) for name, kind in self._wanted_records().items()}
        self._run.products = Products(
            **{name: self._in_numpy(held) for name, held in found.items() if held is not None}
        )
        return self._run

    def _advance(self, *, may_pause: bool) -> None:
        """Run one step after another, until none remains or, if `may_pause`, only a decoder on the CPU."""
        while self._remaining:
            if not self._planned:
                self._plan()
            if may_pause and self._is_decoder_beside_accelerator(self._planned[0]):
                self._holdings.bring_home(self._network)
                return
            count = self._try_steps()
            for step in self._planned[:count]:
                done = step.backend.stages
                self._remaining = tuple(stage for stage in self._remaining if stage not in done)
                self._done_s += step.cost_s
            if count:
                del self._planned[:count]
                if self._separated is not None:
                    self._separated = None
                    self._drop_outdated_plan()
                kinds = self._wanted_records().values()
                self._holdings.keep_only(self._remaining, kinds)
            else:
                self._planned.clear()
                self._separated = None
                self._holdings.bring_home(self._network)

    def _plan(self) -> None:
        held = self._holdings.of(self._remaining[0])
        request = self._engine.chooser.request(
            self._remaining,
            self._audio_s,
            held.space,
            songs=self._songs,  # a set-up serves all songs of a batch
            in_blocks=stages_in_blocks(held.record, self._audio_s, self._engine.card),
        )
        self._planned_after = self._engine.chooser.changes
        self._decision = self._engine.decide(request, self._out_of_memory)
        chosen = self._decision.chosen
        log.debug("route for %s: %s", self._track, chosen)
        self._total_s = self._done_s + chosen.cost_s
        # The decoder runs last, after the sections, which do not depend on it.
        self._planned = sorted(chosen.steps, key=lambda step: step.backend.stages == DECODER)
        if self._on_accelerator is not None and any(
            not self._device_of(step).startswith("cpu") for step in chosen.steps
        ):
            self._on_accelerator()
            self._on_accelerator = None

    def _device_of(self, step: Step) -> str:
        if self._decision is None:
            raise RuntimeError("a step without a decision")
        return self._engine.devices.of(self._decision.candidate(step.backend))

    def _drop_outdated_plan(self) -> None:
        """Forget a plan that was made in advance if a backend has failed since."""
        if self._planned_after != self._engine.chooser.changes:
            self._planned.clear()

    def _is_decoder_beside_accelerator(self, step: Step) -> bool:
        backend = step.backend
        return (
            backend.stages == DECODER
            and backend.consumes == HOST
            and any(not record.device.startswith("cpu") for record in self._run.records)
        )

    def _try_steps(self) -> int:
        """Run the next step, or the next two together, and return how many were run.

        On failure, exclude the backend and return 0, or raise an error if the backend must not be replaced. Also return
        0 if a backend turns out not to be ready, which the next decision takes into account.
        """
        steps = self._planned[:2]
        if self._decision is None:
            raise RuntimeError("steps without a decision")
        candidates = [self._decision.candidate(step.backend) for step in steps]
        work: Work[Candidate | None] = Work(candidates[0])
        try:
            ran = self._run_steps(steps, candidates, work)
            self._progress.check()
            for each in ran:
                self._store(each)
        except PLUGIN_FAILURES as error:
            # The caller cancels the run. The exception passes through a backend, but is not its failure.
            self._progress.check()
            if isinstance(error, InputError | WeightsError | SelectionError | OutputError):
                raise
            if work.culprit is None:
                raise
            self._exclude_failed(work.culprit, error)
            return 0
        return len(ran)

    def _run_steps(
        self, steps: list[Step], candidates: list[Candidate], work: Work[Candidate | None]
    ) -> list[Ran]:
        if self._separated is not None:
            return [self._separated]
        step = steps[0]
        held = self._holdings.of(step.backend.stage)
        job = self._job()
        self._report(step.backend.stage, 0.0)
        streamed = is_streamed(held.record, steps)
        for candidate in candidates if streamed else candidates[:1]:
            if not self._engine.chooser.confirm(candidate):
                return []
        if streamed:
            return stream_steps(job, steps, candidates, held, work)
        if held.is_file and not is_in_blocks(held.record, step, self._engine.card):
            with work.of(None):  # reading is not attributed to a backend
                held = self._holdings.read(takes(step.backend.stage, self._engine.card))
        return [run_step(job, step, candidates[0], held)]

    def _job(self) -> Job:
        return Job(
            self._engine,
            self._network,
            self._track,
            self._wanted is not None and self._wanted.embeddings,
            self._keep,
            self._report,
            self._note_files,
            self._length_s,
        )

    def _store(self, ran: Ran) -> None:
        """Hold the output of a step, and record the stage.

        Raises
        ------
        ContractError
            Values on a device are not finite, or not probabilities.
        """
        backend, output = ran.step.backend, ran.output
        if output is not None:
            kind = given_by(backend.stages)
            if output.space != HOST:
                self._check_on_device(output)
            self._holdings.put(kind, output)
            if kind is Stems and self._keep is not None:
                stems = self._in_numpy(output).validate()
                length = int(stems.samples.shape[-1])
                with self._keep.writing(lambda: length, author_of(ran.candidate)) as write:
                    write(stems)
        plugin = ran.candidate.plugin
        record = StageRecord(
            stages=backend.stages,
            backend=backend.name,
            plugin=plugin.name,
            version=plugin.version,
            device=self._engine.devices.of(ran.candidate),
            seconds=round(ran.seconds, 6),
            copies=tuple(f"{b.source} to {b.destination}" for b in ran.bridges),
        )
        self._run.records.append(record)
        self._engine.observers.stage_finished(
            self._track, record, ran.ended, self._engine.card.name
        )

    def _check_on_device(self, output: Held) -> None:
        """Check values of which there are few per frame: a decoder would interpret NaN as "no beats"."""
        record = output.record
        for part in record.parts if isinstance(record, Findings) else (record,):
            if isinstance(part, Logits):
                self._in_numpy(Held(replace(part, embeddings=None), output.space)).validate()
            elif isinstance(part, Activations):
                self._in_numpy(Held(part, output.space)).check_values()

    def _exclude_failed(self, candidate: Candidate, error: BaseException) -> None:
        """Exclude a backend that failed, and log that once; raise an error if the user named it.

        A backend that ran out of memory is only excluded for this track: the next one may be shorter.
        """
        name = f"{candidate.backend.stage}={candidate.backend.name}"
        reason = error.message if isinstance(error, Allin1Error) else brief(error)
        choice = self._engine.chooser.choice_of(candidate)
        if choice is not None:
            raise BackendError(
                f"The requested backend, {name}{choice.said_by}, failed: {reason}",
                remedy="Leave the stage to auto to allow a fallback.",
            ) from error
        log.debug("backend %s failed", name, exc_info=error)
        if is_out_of_memory(error):
            is_news = True
            self._engine.backends.drop(candidate)
            key = (candidate.backend.stage, candidate.backend.name)
            self._out_of_memory[key] = f"It ran out of memory on this track: {reason}"
        else:
            is_news = self._engine.exclude(candidate, reason)
        text = f"Backend {name} of plugin {candidate.plugin.name} failed and was replaced: {reason}"
        self._run.fallbacks.append(text)
        # A run that chose it before another one excluded it does not warn again.
        log.log(logging.WARNING if is_news else logging.DEBUG, "%s", text)

    def _note_files(self, files: FilesRead) -> None:
        self._run.input = files.provenance
        self._run.warnings = list(files.warnings)

    @property
    def _network(self) -> BridgeNetwork:
        """The bridges that the route was priced with."""
        if self._decision is not None:
            return self._decision.network
        return self._engine.chooser.network({HOST})

    def _in_numpy(self, held: Held) -> Any:
        return held.home(self._network).record

    def _wanted_records(self) -> dict[str, type[Any]]:
        return {} if self._wanted is None else self._wanted.records

    def _report(self, stage: Stage, done_s: float) -> None:
        if self._total_s > 0:
            self._progress(stage, min(1.0, (self._done_s + done_s) / self._total_s))
