"""One track on its way to a result, in three steps that may run in threads of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, TypedDict

from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.result import (
    AnalysisResult,
    Confidence,
    Identity,
    Provenance,
    SegmentConfidence,
)
from allin1_core.contracts.sections import Sections
from allin1_core.errors import InputError, SelectionError
from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.runtime.activations import probabilities
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.identity import Source, identity_of, source_of
from allin1_core.runtime.keeping import Keeping
from allin1_core.runtime.logits_cache import CachedLogits
from allin1_core.runtime.model_choice import Models
from allin1_core.runtime.observers import Observers
from allin1_core.runtime.pipeline import Pipeline, Progress, Run
from allin1_core.runtime.plan import Wanted
from allin1_core.runtime.preparing import prepare
from allin1_core.runtime.tempo import estimate_bpm, fit_tempo
from allin1_core.runtime.track import Track
from allin1_core.runtime.track_start import TrackStart, begin_track

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ResultOptions(TypedDict, total=False):
    """What a result shall hold.

    Attributes
    ----------
    include_activations, include_embeddings
        What it shall hold besides.
    only
        ``beats`` or ``sections``, to leave out the stages that the other needs; None for all that the model can give.
    """

    include_activations: bool
    include_embeddings: bool
    only: str | None


class Analysis:
    """The analysis of one track: :meth:`read`, then :meth:`begin`, then :meth:`finish`.

    One step must end before the next begins; the thread may change between them. Of all tracks of a session, one at a
    time may be in :meth:`begin`, and one in :meth:`finish`. The first step that raises ends the analysis, and plugins
    are told.

    Parameters
    ----------
    models
        Choose what it runs on.
    observers
        Are told what becomes of it.
    keeping
        Where stems are kept.
    track
        What to analyse.
    progress
        Told about the progress; what it raises ends the run.
    songs
        Songs that are to be analysed in all: a backend that takes long to set up may be worth it for many.
    options
        What the result shall hold.
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
        self._progress = progress
        self._songs = songs
        self._begun: TrackStart | None = None
        self._pipeline: Pipeline
        self._keep: StemsToKeep | None = None
        self._files: Source | None = None
        self._cached: CachedLogits | None = None
        self._earlier: AnalysisResult | None = None
        self._fallbacks: list[str] = []  # of a model that could not run

    @property
    def _start(self) -> TrackStart:
        """What is read, and the model that was chosen for it, at the first question."""
        if self._begun is None:
            only = self._options.get("only")
            outputs = None if only is None else (only,)
            self._begun = begin_track(self.track, self._models, self._keeping, outputs)
        return self._begun

    @property
    def _engine(self) -> Engine:
        return self._start.choice.engine

    @property
    def identities(self) -> tuple[Identity, ...]:
        """What the result would be a result of, and then what would do as well, with another model that may be chosen.

        The files are read for it once.

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
        """The files that are read, as they were at the first question."""
        if self._files is None:
            self._files = source_of(self.track)
        return self._files

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is looked for: what was asked for, and what the result of an earlier run has."""
        card = self._engine.card
        asked = outputs_of(card, self._options.get("only"))
        has = () if self._earlier is None else _outputs_in(self._earlier)
        return tuple(name for name in card.outputs if name in {*asked, *has})

    def lacks_kept_stems(self) -> bool:
        """Whether the stems of the song are to be kept, and are not yet."""
        if not self._keeping.keeps_new or self._engine.card.takes == "mix":
            return False
        return self._start.kept is not None and not self._start.is_kept

    def add_to(self, earlier: AnalysisResult) -> None:
        """Find also what the result of an earlier run has, arrays included, so that the new one can take its place."""
        self._earlier = earlier

    def read(self) -> None:
        """Choose the model, and read the song or its stems, unless they are so long that they are to be read in blocks.

        Stems that an earlier run kept are used where they are what this one would make.
        """
        with self._reporting_failure():
            self._read()

    def _read(self) -> None:
        start, engine, identity = self._start, self._engine, self.identities[0]  # before reading
        self._wanted()  # which the model may not find
        self._pipeline = Pipeline(engine)
        if self._may_use_cache():
            self._cached = engine.cache.find(identity)
        if self._cached is not None:
            self._pipeline.read(self._cached.logits)
            return
        if start.kept is not None and not start.is_kept and self._keeping.keeps_new:
            length = start.start.duration_s
            start.kept.check(overwrite=self._keeping.overwrite, seconds=length)
            self._keep = start.kept
        prepare(engine, start.start, self._wanted(), self._songs)
        self._pipeline.read(start.start)

    def begin(self) -> None:
        """Run the stages, up to what may be left for :meth:`finish`.

        Where the model was chosen, and what it needs turns out not to be ready or fails, the other model takes over.
        """
        with self._reporting_failure():
            try:
                self._begin()
            except SelectionError:
                tried, self._begun = self._engine, None
                if self._engine is tried:
                    raise
                self._fallbacks += self._pipeline.fallbacks
                self._read()
                self._begin()

    def _begin(self) -> None:
        self._pipeline.begin(
            self._wanted(),
            progress=self._progress,
            track=self.track.name,
            keep=self._keep,
            songs=self._songs,
        )

    @property
    def is_paused(self) -> bool:
        """Whether :meth:`begin` left something to run, and not only the result to be put together."""
        return self._pipeline.is_paused

    def finish(self) -> AnalysisResult:
        """Run what is left, and put the result together."""
        with self._reporting_failure():
            result = self._result(self._pipeline.finish())
            result = self._observers.postprocess(self.track.name, result)
        self._observers.track_finished(self.track.name, result)
        return result

    @property
    def _wants_activations(self) -> bool:
        has = self._earlier is not None and self._earlier.activations is not None
        return has or self._options.get("include_activations", False)

    @property
    def _wants_embeddings(self) -> bool:
        """Whether embeddings are to be found: those of an earlier result are kept where they are of the same model."""
        earlier = self._earlier
        is_lost = (
            earlier is not None
            and earlier.embeddings is not None
            and (earlier.provenance is None or earlier.provenance.model != self._engine.card.name)
        )
        return is_lost or self._options.get("include_embeddings", False)

    def _may_use_cache(self) -> bool:
        """Whether logits of an earlier run would do: not where it is asked how, or for what lies before them."""
        engine = self._engine
        return (
            engine.cache.is_used
            and not self._wants_embeddings
            and not engine.guard.is_on
            and engine.measure is None
            and not self._keeping.keeps_new
            and not {"demix", "spectrogram", "nn"}
            & {c.stage for c in engine.chooser.wishes.choices}
        )

    def _wanted(self) -> Wanted:
        logits = self._wants_activations or self._engine.cache.is_used
        outputs = frozenset([*self.outputs, *(["logits"] if logits else [])])
        return Wanted(outputs, self._wants_embeddings)

    def _result(self, run: Run) -> AnalysisResult:
        card, outputs = self._engine.card, self.outputs
        source, warnings = run.input, [*run.warnings]
        identity = self._checked_identity(warnings)
        logits = run.products.logits
        if self._cached is not None:
            source = {**self._cached.input, "cached": "logits"}
            warnings = [*self._cached.warnings, *warnings]
        elif logits is not None and identity is not None:
            self._engine.cache.keep(identity, logits, run.input, run.warnings)
        parameters = self._keeping.parameters
        if self._start.is_kept or any(record.stages == ("demix",) for record in run.records):
            source["separation"] = dataclasses.asdict(parameters)
            if parameters.random_seed is not None:
                warnings.append(
                    f"The song was separated with random weights ({parameters.weights}):"
                    " what is found in it means nothing."
                )
        if self._keep is not None and self._keep.problem is not None:
            warnings.append(str(self._keep.problem))
        if self._start.is_kept:
            source["separated_before"] = True
        elif self._keep is not None and "separation" not in source:
            name = run.records[0].backend
            warnings.append(f"There are no stems to keep: {name} takes the song and gives none.")
        if self._options.get("only") is None and "sections" not in outputs:
            warnings.append(f"The model {card.name} finds no sections.")
        metre, sections = run.products.metre, run.products.sections
        with_activations = self._wants_activations
        embeddings = logits.embeddings if logits is not None else None
        if not self._wants_embeddings:
            embeddings = None if self._earlier is None else self._earlier.embeddings
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
            confidence=_confidence(metre, sections),
            tempo=None if metre is None else fit_tempo(metre.beat_times_s),
            alternatives=[] if metre is None else list(metre.alternatives),
            warnings=warnings,
            provenance=Provenance(
                version=version("allin1-core"),
                model=card.name,
                input=source,
                stages=tuple(run.records),
                fallbacks=(*self._fallbacks, *run.fallbacks),
                outputs=outputs,
                identity=identity,
                model_version=card.version,
                model_reason=str(self._start.choice),
            ),
        )

    def _checked_identity(self, warnings: list[str]) -> Identity | None:
        """What the result is a result of; None where the files were replaced while they were read."""
        if self._source.still_holds():
            return self.identities[0]
        warnings.append("The audio changed while it was analysed; analyse it again.")
        return None

    @contextmanager
    def _reporting_failure(self) -> Iterator[None]:
        # Not of Ctrl-C: the track has neither result nor error then.
        try:
            yield
        except Exception as error:
            self._observers.track_finished(self.track.name, error=error)
            raise


def _outputs_in(result: AnalysisResult) -> tuple[str, ...]:
    return () if result.provenance is None else result.provenance.outputs


def outputs_of(card: ModelCard, only: str | None) -> tuple[str, ...]:
    """What to look for with a model.

    Raises
    ------
    InputError
        If it does not find `only`.
    """
    if only is None:
        return card.outputs
    if only not in card.outputs:
        raise InputError(
            f"The model {card.name} does not find {only}.",
            remedy=f"It finds {' and '.join(card.outputs)}.",
        )
    return (only,)


def _confidence(metre: Metre | None, sections: Sections | None) -> Confidence | None:
    segments = None if sections is None else _segment_confidences(sections)
    if metre is None or metre.beat_confidences is None:
        return None if segments is None else Confidence([], None, {}, segments)
    return Confidence(
        beats=metre.beat_confidences.tolist(),
        metre=metre.metre_confidence,
        metre_log_probabilities=dict(metre.metre_log_probabilities),
        segments=segments,
    )


def _segment_confidences(sections: Sections) -> list[SegmentConfidence] | None:
    if sections.boundary_strengths is None or sections.label_probabilities is None:
        return None
    strengths = (None, *sections.boundary_strengths)
    return [
        SegmentConfidence(strength, dict(zip(HARMONIX_LABELS, labels, strict=True)))
        for strength, labels in zip(strengths, sections.label_probabilities, strict=True)
    ]
