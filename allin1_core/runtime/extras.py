"""What ``allin1 analyze`` makes of each result besides its JSON: pictures, sound, exports."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from allin1_core.errors import Allin1Error, OutputError

if TYPE_CHECKING:
    from allin1_core.contracts.export import Exporter, Song
    from allin1_core.contracts.result import AnalysisResult
    from allin1_core.plugins.collecting import Offered
    from allin1_core.runtime.batch import Outcome
    from allin1_core.runtime.track import Track


@dataclass
class Extras:
    """Makes files of the results of a batch. What exists for a result that was up to date is left as it is.

    Attributes
    ----------
    viz_dir, viz_format
        Folder and suffix of pictures; None for no pictures.
    sonif_dir, sonif_format
        Folder and suffix of sound; None for none.
    exporters
        Formats to export to.
    export_dir
        Folder of exports; None for that of the result.
    array_dir
        Folder to put the arrays that results have in, too; None for none.
    overwrite
        What is made again even if it exists: ``viz``, ``sonify``, ``export``.
    """

    viz_dir: Path | None = None
    viz_format: str = "pdf"
    sonif_dir: Path | None = None
    sonif_format: str = "wav"
    exporters: tuple[Offered[Exporter], ...] = ()
    export_dir: Path = Path("struct")
    array_dir: Path | None = None
    overwrite: frozenset[str] = frozenset()
    _songs: list[Song] = field(default_factory=list)

    def check(self) -> None:
        """Find out before anything is analysed whether the files can be made.

        Raises
        ------
        OutputError
            If they cannot.
        """
        if self.viz_dir is not None:
            from allin1_core.presentation.figures import check_picture

            check_picture(self.viz_dir / f"x.{self.viz_format}")
        if self.sonif_dir is not None:
            from allin1_core.presentation.sound import check_sound_path

            check_sound_path(self.sonif_dir / f"x.{self.sonif_format}")

    def make(self, outcome: Outcome) -> Iterable[Allin1Error]:
        """Make the files of one track; give what went wrong, while the others are made."""
        if outcome.result is None:
            return
        with ExitStack() as stack:
            yield from self._show(outcome, stack)
        name = outcome.track.name
        if self.array_dir is not None:
            from allin1_core.io.results import save_arrays

            try:
                save_arrays(_with_arrays(outcome, embeddings=True), self.array_dir, name)
            except Allin1Error as error:
                yield error
        yield from self._export(outcome, name)

    def _show(self, outcome: Outcome, stack: ExitStack) -> Iterable[Allin1Error]:
        """Make the picture and the sound, for which the song is read again."""
        name = outcome.track.name
        heard: Path | None = None

        def audible(result: AnalysisResult) -> AnalysisResult:
            nonlocal heard
            heard = heard or _song_of(outcome.track, stack)
            return result if heard is None else replace(result, path=heard)

        if self.viz_dir is not None:
            picture = self.viz_dir / f"{name}.{self.viz_format}"
            if self._is_due(outcome, picture, "viz"):
                from allin1_core.presentation.picture import write_picture

                try:
                    write_picture(audible(_with_arrays(outcome)), picture, name=name)
                except Allin1Error as error:
                    yield error
        if self.sonif_dir is not None and outcome.result is not None:
            sound = self.sonif_dir / f"{name}.sonif.{self.sonif_format}"
            if self._is_due(outcome, sound, "sonify"):
                from allin1_core.presentation.sound import write_sonification

                try:
                    write_sonification(audible(outcome.result), sound)
                except Allin1Error as error:
                    yield error

    def finish(self) -> Iterable[Allin1Error]:
        """Make the files that hold several songs."""
        from allin1_core.runtime.exporting import export_songs

        for offered in self.exporters:
            if offered.item.collects and self._songs:
                try:
                    export_songs(offered, self._songs, self.export_dir, overwrite=True)
                except Allin1Error as error:
                    yield error

    def _export(self, outcome: Outcome, name: str) -> Iterable[Allin1Error]:
        if not self.exporters or outcome.result is None:
            return
        from allin1_core.runtime.exporting import export_songs, song_of

        song = song_of(outcome.result, name)
        self._songs.append(song)
        for offered in self.exporters:
            path = self.export_dir / f"{name}{offered.item.suffix}"
            if not offered.item.collects and self._is_due(outcome, path, "export"):
                try:
                    export_songs(offered, [song], self.export_dir, overwrite=True)
                except Allin1Error as error:
                    yield error

    def _is_due(self, outcome: Outcome, path: Path, what: str) -> bool:
        return outcome.status == "done" or what in self.overwrite or not path.exists()


def _song_of(track: Track, stack: ExitStack) -> Path | None:
    """A file of the song while `stack` is open, where its result names none: it came on stdin, or is fetched again."""
    if track.called is None or track.find_stems() is not None:
        return None
    if track.remote is None:
        return track.source
    from allin1_core.io.fetching import fetched

    return stack.enter_context(fetched(track.remote))


def _with_arrays(outcome: Outcome, *, embeddings: bool = False) -> AnalysisResult:
    """The result with the arrays that lie beside it, which one that was up to date is given without."""
    from allin1_core.io.results import load_result

    if outcome.status == "done" or outcome.written is None or outcome.result is None:
        if outcome.result is None:
            raise OutputError("There is no result.")
        return outcome.result
    return load_result(outcome.written, load_embeddings=embeddings)
