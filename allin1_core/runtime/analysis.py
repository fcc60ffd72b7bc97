"""One track on its way to a result, in three steps that may run in threads of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.result import AnalysisResult, Confidence, Provenance
from allin1_core.contracts.sections import Sections
from allin1_core.errors import InputError
from allin1_core.io.mix import MixFile
from allin1_core.runtime.activations import probabilities
from allin1_core.runtime.pipeline import Pipeline, Run
from allin1_core.runtime.tempo import estimate_bpm

if TYPE_CHECKING:
    from allin1_core.io.kept_stems import StemsToKeep
    from allin1_core.runtime.session import Session
    from allin1_core.runtime.track import Track

#: Called with the name of the running stage and the fraction of the whole track that is done.
Progress = Callable[[str, float], None]


class Analysis:
    """The analysis of one track: :meth:`read`, then :meth:`begin`, then :meth:`finish`.

    One step must end before the next begins; the thread may change between them. Of all tracks of a session, one at a
    time may be in :meth:`begin`, and one in :meth:`finish`. The first step that raises ends the analysis, and plugins
    are told.

    Parameters
    ----------
    session
        Where it takes place.
    track, include_activations, include_embeddings, only, progress
        As for :meth:`allin1_core.runtime.session.Session.analyze`.
    songs
        Songs that the session is to analyse in all: a backend that takes long to set up may be worth it for many.
    """

    def __init__(
        self,
        session: Session,
        track: Track,
        *,
        include_activations: bool = False,
        include_embeddings: bool = False,
        only: str | None = None,
        progress: Progress | None = None,
        songs: int = 1,
    ) -> None:
        self.track = track
        self._session = session
        self._include_activations = include_activations
        self._include_embeddings = include_embeddings
        self._only = only
        self._progress = progress
        self._songs = songs
        self._pipeline = Pipeline(session)
        self._keep: StemsToKeep | None = None
        self._is_kept = False

    def read(self) -> None:
        """Read the song or its stems, unless they are so long that they are to be read in blocks.

        Stems that an earlier run kept are used where they are what this one would make.
        """
        session, track = self._session, self.track
        with self._telling_of_failure():
            outputs = self._outputs()
            files = track.find_stems()
            if files is None:
                kept = session.kept_stems(track)
                files = None if kept is None else session.kept_before(kept, outputs)
                self._is_kept = files is not None
                if kept is not None and files is None and session.keep_stems:
                    kept.check(overwrite=session.overwrite_stems)
                    self._keep = kept
            self._pipeline.read(files or MixFile(track.source))

    def begin(self) -> None:
        """Run the stages, up to what may be left for :meth:`finish`."""
        outputs = self._outputs()
        with self._telling_of_failure():
            self._pipeline.begin(
                frozenset([*outputs, "logits"] if self._include_activations else outputs),
                embeddings=self._include_embeddings,
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
        with self._telling_of_failure():
            result = self._result(self._pipeline.finish())
        self._session.observe(
            "allin1_track_finished", track=self.track.name, result=result, error=None
        )
        return result

    def _outputs(self) -> tuple[str, ...]:
        card = self._session.card
        if self._only is None:
            return card.outputs
        if self._only not in card.outputs:
            raise InputError(
                f"The model {card.name} does not find {self._only}.",
                remedy=f"It finds {' and '.join(card.outputs)}.",
            )
        return (self._only,)

    def _result(self, run: Run) -> AnalysisResult:
        session, outputs = self._session, self._outputs()
        source, warnings = run.input, [*run.warnings]
        if self._is_kept or any(record.stages == ("demix",) for record in run.records):
            source["separation"] = dataclasses.asdict(session.demix)
        if self._is_kept:
            source["separated_before"] = True
        elif self._keep is not None and "separation" not in source:
            name = run.records[0].backend
            warnings.append(f"There are no stems to keep: {name} takes the song and gives none.")
        if self._only is None and "sections" not in outputs:
            warnings.append(f"The model {session.card.name} finds no sections.")
        metre = run.products.get(Metre)
        sections = run.products.get(Sections)
        logits = run.products.get(Logits)
        if metre is not None:
            warnings += metre.warnings
        beats = [] if metre is None else metre.beat_times_s.tolist()
        return AnalysisResult(
            path=self.track.source,
            bpm=None if metre is None else estimate_bpm(metre.beat_times_s),
            beats=beats,
            downbeats=[] if metre is None else metre.downbeat_times_s.tolist(),
            beat_positions=[] if metre is None else metre.beat_positions.tolist(),
            segments=[] if sections is None else list(sections.segments),
            activations=probabilities(logits) if self._include_activations and logits else None,
            embeddings=logits.embeddings if self._include_embeddings and logits else None,
            confidence=None if metre is None else _confidence(metre),
            alternatives=[] if metre is None else list(metre.alternatives),
            warnings=warnings,
            provenance=Provenance(
                version=session.plugins.records[0].version,
                model=session.card.name,
                input=source,
                stages=tuple(run.records),
                fallbacks=tuple(run.fallbacks),
                outputs=outputs,
                model_version=session.card.version,
            ),
        )

    @contextmanager
    def _telling_of_failure(self) -> Iterator[None]:
        # Not of Ctrl-C: the track has neither result nor error then.
        try:
            yield
        except Exception as error:
            self._session.observe(
                "allin1_track_finished", track=self.track.name, result=None, error=error
            )
            raise


def _confidence(metre: Metre) -> Confidence | None:
    if metre.beat_confidences is None:
        return None
    return Confidence(
        beats=metre.beat_confidences.tolist(),
        metre=metre.metre_confidence,
        metre_log_probabilities=dict(metre.metre_log_probabilities),
    )
