"""The analysis of one track, in three steps that may run in different threads."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.result import (
    AnalysisResult,
    Identity,
    Provenance,
)
from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, SelectionError
from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.activations import probabilities
from allin1_core.runtime.batch_separation import Separation
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.found_stems import StemsInPlugin, warning_of
from allin1_core.runtime.identity import Source, identity_of, source_of
from allin1_core.runtime.keeping import Keeping
from allin1_core.runtime.logits_cache import CachedLogits
from allin1_core.runtime.model_choice import Models
from allin1_core.runtime.observers import Observers
from allin1_core.runtime.pipeline import Pipeline, Progress, Run
from allin1_core.runtime.plan import Wanted, bytes_of
from allin1_core.runtime.preparing import prepare
from allin1_core.runtime.reading import ReadWhole, read_whole
from allin1_core.runtime.result_parts import (
    arrays_not_given,
    confidence_of,
    outputs_in,
    outputs_of,
    warnings_of_missing,
)
from allin1_core.runtime.steps import Ran
from allin1_core.runtime.tempo import estimate_bpm, fit_tempo
from allin1_core.runtime.track import Track
from allin1_core.runtime.track_start import TrackStart, begin_track

if TYPE_CHECKING:
    from typing_extensions import Unpack


log = logging.getLogger(__name__)


class ResultOptions(TypedDict, total=False):
    """What a result contains.

    Attributes
    ----------
    include_activations, include_embeddings
        Whether it contains these arrays.
    only
        ``beats`` or ``sections``, to skip the stages that only the other one needs; None for everything that the model
        provides.
    """

    include_activations: bool
    include_embeddings: bool
    only: str | None


class Analysis:
    """The analysis of one track: :meth:`read`, then :meth:`begin`, then :meth:`finish`.

    Each step must end before the next one begins; they may run in different threads. Among all tracks of a session,
    only one at a time may be in :meth:`begin`, and only one in :meth:`finish`. The first step that raises an exception
    ends the analysis, and plugins are notified.

    Parameters
    ----------
    models
        Choose the model and its engine.
    observers
        Notified of the result or the error.
    keeping
        Where stems are kept.
    track
        The track to analyse.
    progress
        Called with the progress; an exception that it raises ends the run.
    songs
        Number of songs to be analysed in total: a backend that takes long to set up may pay off for many.
    options
        What the result contains.
    """

    def __init__(
        self,
        models: Models,
        observers: Observers,
        keeping: Keeping,
        track: Track,
        *,
        progress: Progress | None = None,
        songs: int = 1,
        **options: Unpack[ResultOptions],
    ) -> None:
        self.track = track
        self._models = models
        self._observers = observers
        self._keeping = keeping
        self._options = options
        self._progress = CallerProgress(progress)
        self._songs = songs
        self._begun: TrackStart | None = None
        self._pipeline: Pipeline
        self._read_files: ReadWhole = read_whole
        self._keep: StemsToKeep | None = None
        self._files: Source | None = None
        self._cached: CachedLogits | None = None
        self._earlier: AnalysisResult | None = None

    @property
    def _start(self) -> TrackStart:
        """The input of the run and the model chosen for it, determined on first use."""
        if self._begun is None:
            self._begun = begin_track(self.track, self._models, self._keeping, self._requested)
        return self._begun

    @property
    def _requested(self) -> tuple[str, ...] | None:
        only = self._options.get("only")
        return None if only is None else (only,)

    @property
    def _engine(self) -> Engine:
        return self._start.choice.engine

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The identity of the result, followed by those with other models that may be chosen.

        A result with any of them is up to date. The files are read once to compute them.

        Raises
        ------
        InputError
            A file cannot be read.
        """
        chosen = self._engine
        others = [engine for engine in self._models.engines if engine is not chosen]
        return tuple(identity_of(engine, self._source) for engine in (chosen, *others))

    @property
    def _source(self) -> Source:
        """The files that are read, with their state on first use."""
        if self._files is None:
            self._files = source_of(self.track, self._start.found, self._engine.known_digests)
        return self._files

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs to compute: those requested, and those that the result of an earlier run contains."""
        card = self._engine.card
        asked = outputs_of(card, self._options.get("only"))
        has = () if self._earlier is None else outputs_in(self._earlier)
        return tuple(name for name in card.outputs if name in {*asked, *has})

    def lacks_kept_stems(self) -> bool:
        """Whether the stems of the song are to be kept and have not been kept yet."""
        if not self._keeping.keeps_new or self._engine.card.takes == "mix":
            return False
        return self._start.kept is not None and not self._start.is_kept

    def add_to(self, earlier: AnalysisResult) -> None:
        """Also compute everything that an earlier result contains, including arrays, so that it can be replaced."""
        self._earlier = earlier

    @property
    def adds_to_earlier(self) -> bool:
        """Whether the result of an earlier run has the same audio, model and options, but is incomplete."""
        return self._earlier is not None

    @property
    def bytes_to_read(self) -> int:
        """Memory for the audio that :meth:`read` will read, according to the headers of its files."""
        try:
            return bytes_of(self._start.start)
        except Allin1Error:
            return 0  # reading will raise it again

    def read(self, read_files: ReadWhole = read_whole) -> None:
        """Choose the model, and read the song or its stems, unless they are so long that they are read in blocks.

        Stems kept by an earlier run are used if they equal those that this run would produce. `read_files` reads files.
        """
        self._read_files = read_files
        with self._reporting_failure():
            self._read(Pipeline(self._engine))

    def _read(self, pipeline: Pipeline) -> None:
        start, engine = self._start, self._engine
        identity = self.identities[0]  # before reading, so that later changes are noticed
        self._wanted()  # raises an error if the model does not provide what is requested
        self._pipeline, self._keep = pipeline, None
        if self._may_use_cache():
            self._cached = engine.cache.find(identity)
        if self._cached is not None:
            self._pipeline.read(self._cached.logits)
            return
        if isinstance(start.start, StemsInPlugin):
            stems = self._stems_of_plugin(start.start)
            if stems is None:
                self._read(Pipeline(self._engine))
            else:
                self._pipeline.read(stems)
            return
        if start.kept is not None and not start.is_kept and self._keeping.keeps_new:
            length = start.start.duration_s
            start.kept.check(overwrite=self._keeping.overwrite, seconds=length)
            self._keep = start.kept
        prepare(engine, start.start, self._wanted(), self._songs)
        self._pipeline.read(start.start, self._read_files)

    def _stems_of_plugin(self, given: StemsInPlugin) -> Stems | None:
        """Read the stems of a plugin; None if that fails, and the analysis must start without them."""
        found = self._start.found
        try:
            return given.read()
        except PLUGIN_FAILURES as error:
            warning = warning_of("" if found is None else found.plugin, error)
            log.debug("stems of a plugin could not be read", exc_info=True)
        begun = begin_track(
            self.track, self._models, self._keeping, self._requested, asks_plugins=False
        )
        self._begun = dataclasses.replace(begun, warnings=(warning,))
        self._files = None
        return None

    def begin(self, on_accelerator: Callable[[], object] | None = None) -> None:
        """Run the stages, except those that are left to :meth:`finish`.

        If no backend remains for a model that was not named, the analysis starts again with the other model.
        `on_accelerator` is called as soon as a route on a device other than the CPU has been chosen.
        """
        with self._reporting_failure():
            try:
                self._begin(on_accelerator)
            except SelectionError as error:
                self._progress.check()
                if not self._take_other_model(error):
                    raise
                self._begin(on_accelerator)

    def _begin(self, on_accelerator: Callable[[], object] | None) -> None:
        self._request()
        self._pipeline.begin(on_accelerator)

    def _request(self) -> None:
        self._pipeline.request(
            self._wanted(),
            progress=self._progress,
            track=self.track.name,
            keep=self._keep,
            songs=self._songs,
        )

    def plan(self) -> None:
        """Choose the route after :meth:`read`, in the same thread, so that :meth:`begin` need not."""
        try:
            self._request()
            self._pipeline.plan()
        except PLUGIN_FAILURES:
            log.debug("planning in advance failed", exc_info=True)  # begin will report it

    def separation(self) -> Separation | None:
        """The separation with which :meth:`begin` starts, if it can be done together with those of other tracks."""
        try:
            self._request()
            return self._pipeline.separation()
        except PLUGIN_FAILURES:
            log.debug("planning in advance failed", exc_info=True)
            return None  # it will be reported by begin

    def take_separated(self, ran: Ran) -> None:
        """Let :meth:`begin` use the output of :meth:`separation`."""
        self._pipeline.take_separated(ran)

    def _take_other_model(self, error: SelectionError) -> bool:
        """Read the song for the other model, if it may take over; a result that is completed keeps its model."""
        if self.track.model is not None or self._earlier is not None:
            return False
        begun = self._start
        start: StemFiles | MixFile = MixFile(self.track.source)
        if isinstance(begun.start, StemFiles) and not begun.is_kept and begun.found is None:
            start = begun.start
        choice = self._models.instead(begun.choice, error, type(start), self._requested)
        if choice is None:
            return False
        self._begun, self._files = TrackStart(choice, start, warnings=begun.warnings), None
        self._read(Pipeline(choice.engine, self._pipeline.fallbacks))
        return True

    @property
    def is_paused(self) -> bool:
        """Whether :meth:`begin` left stages to run, besides assembling the result."""
        return self._pipeline.is_paused

    def finish(self) -> AnalysisResult:
        """Run the remaining stages, and assemble the result."""
        with self._reporting_failure():
            result = self._result(self._pipeline.finish())
            result = self._observers.postprocess(self.track.name, result)
        self._observers.track_finished(self.track.name, result)
        return result

    def was_written(self, result: AnalysisResult, path: Path, folder: Path) -> None:
        """Notify plugins that the result was written to `path`."""
        self._observers.result_written(self.track.name, result, path, folder)

    @property
    def _wants_activations(self) -> bool:
        has = self._earlier is not None and self._earlier.activations is not None
        return has or self._options.get("include_activations", False)

    @property
    def _wants_embeddings(self) -> bool:
        """Whether embeddings must be computed: those of an earlier result are reused if they are of the same model."""
        earlier = self._earlier
        is_lost = (
            earlier is not None
            and earlier.embeddings is not None
            and (earlier.provenance is None or earlier.provenance.model != self._engine.card.name)
        )
        return is_lost or self._options.get("include_embeddings", False)

    def _may_use_cache(self) -> bool:
        """Whether cached logits suffice: not if earlier stages are named, checked, measured, or their outputs needed."""
        engine = self._engine
        return (
            engine.cache.is_used
            and not self._wants_embeddings
            and not engine.guard.is_on
            and engine.measure is None
            and not self._keeping.keeps_new
            and not {"demix", "spectrogram", "nn"}
            & {c.stage for c in engine.chooser.preferences.choices}
        )

    def _wanted(self) -> Wanted:
        logits = self._wants_activations or self._engine.cache.is_used
        outputs = frozenset([*self.outputs, *(["logits"] if logits else [])])
        return Wanted(outputs, self._wants_embeddings)

    def _result(self, run: Run) -> AnalysisResult:
        card, outputs = self._engine.card, self.outputs
        source, warnings = self._with_song_name(run.input), [*self._start.warnings, *run.warnings]
        identity = self._checked_identity(warnings)
        logits = run.products.logits
        if self._cached is not None:
            source = {
                **self._with_song_name(self._with_current_paths(self._cached.input)),
                "cached": "logits",
            }
            warnings = [*self._cached.warnings, *warnings]
        elif logits is not None and identity is not None:
            self._engine.cache.keep(identity, logits, source, run.warnings)
        if self._start.found is not None:
            source = {**source, "given_by": self._start.found.plugin}
        parameters = self._keeping.parameters
        if self._start.is_kept or any(record.stages == ("demix",) for record in run.records):
            source["separation"] = dataclasses.asdict(parameters)
            if parameters.random_seed is not None:
                warnings.append(
                    f"The song was separated with random weights ({parameters.weights}):"
                    " the result is meaningless."
                )
        if self._keep is not None and self._keep.problem is not None:
            warnings.append(str(self._keep.problem))
        if self._start.is_kept:
            source["separated_before"] = True
        elif self._keep is not None and "separation" not in source:
            name = run.records[0].backend
            warnings.append(f"There are no stems to keep: {name} takes the song and returns none.")
        if self._options.get("only") is None and "sections" not in outputs:
            warnings.append(f"The model {card.name} finds no sections.")
        metre, sections = run.products.metre, run.products.sections
        with_activations = self._wants_activations
        embeddings = logits.embeddings if logits is not None else None
        if not self._wants_embeddings:
            embeddings = None if self._earlier is None else self._earlier.embeddings
        not_given = arrays_not_given(
            logits, activations=with_activations, embeddings=self._wants_embeddings
        )
        warnings += warnings_of_missing(not_given, run)
        if metre is not None:
            warnings += metre.warnings
        beats = [] if metre is None else metre.beat_times_s.tolist()
        if metre is not None and not beats:
            warnings.append("No beats were found.")
        return AnalysisResult(
            path=self.track.path,
            bpm=None if metre is None else estimate_bpm(metre.beat_times_s),
            beats=beats,
            downbeats=[] if metre is None else metre.downbeat_times_s.tolist(),
            beat_positions=[] if metre is None else metre.beat_positions.tolist(),
            segments=[] if sections is None else list(sections.segments),
            activations=probabilities(logits) if with_activations and logits else None,
            embeddings=embeddings,
            confidence=confidence_of(metre, sections, card.labels),
            tempo=None if metre is None else fit_tempo(metre.beat_times_s),
            alternatives=[] if metre is None else list(metre.alternatives),
            warnings=warnings,
            provenance=Provenance(
                version=version("allin1-core"),
                model=card.name,
                input=source,
                stages=tuple(run.records),
                fallbacks=tuple(run.fallbacks),
                outputs=outputs,
                identity=identity,
                model_version=card.version,
                model_reason=str(self._start.choice),
                labels=() if card.labels == HARMONIX_LABELS else card.labels,
                not_given=not_given,
            ),
        )

    def _with_current_paths(self, source: dict[str, Any]) -> dict[str, Any]:
        """The input of an earlier analysis of the same content, with the current paths of the files."""
        files, now = source.get("files", []), self._source.files
        if len(files) != len(now):
            return source
        files = [{**file, "path": str(one.path)} for file, one in zip(files, now, strict=True)]
        return {**source, "files": files}

    def _with_song_name(self, source: dict[str, Any]) -> dict[str, Any]:
        """The input, with the name of the song in place of the path of a temporary file."""
        file, called = str(self.track.source), self.track.called
        if called is None or "files" not in source:
            return source
        files = [
            {**f, "path": str(called)} if f.get("path") == file else f for f in source["files"]
        ]
        return {**source, "files": files}

    def _checked_identity(self, warnings: list[str]) -> Identity | None:
        """The identity of the result; None if the files changed while they were read."""
        if self._source.still_holds():
            return self.identities[0]
        warnings.append("The audio changed while it was analysed; analyse it again.")
        return None

    @contextmanager
    def _reporting_failure(self) -> Iterator[None]:
        # Neither Ctrl-C nor an exception of the caller's progress is reported: the track has no result and no error.
        try:
            yield
        except Exception as error:
            self._progress.check()
            self._observers.track_finished(self.track.name, error=error)
            raise
