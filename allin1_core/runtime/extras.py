"""What ``allin1 analyze`` makes of each result besides its JSON: pictures, sound, exports."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from allin1_core.errors import Allin1Error, OutputError, PluginError
from allin1_core.io.atomic import refuse_to_replace
from allin1_core.io.own_files import sonification_name
from allin1_core.text import shown

if TYPE_CHECKING:
    from allin1_core.contracts.export import Exporter, Song
    from allin1_core.contracts.result import AnalysisResult
    from allin1_core.plugins.collecting import Offered
    from allin1_core.runtime.batch import Outcome
    from allin1_core.runtime.track import Track


@dataclass
class Extras:
    """Makes files of the results of a batch.

    A file that was there before the batch is replaced only if `overwrite` says so: nothing tells whether it was made of
    an earlier result or is the user's own. For a result that was up to date it is left as it is; for one that was
    analysed it is an error of that file alone. A file that appears during the batch is that of another process, which
    works on the same songs, and is left as it is.

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
        What is made again even if it exists: ``viz``, ``sonify``, ``export``; ``json`` for arrays.
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
    _there: frozenset[Path] = frozenset()

    def check(self) -> None:
        """Find out before anything is analysed whether the files can be made, and which are there already.

        Raises
        ------
        OutputError
            If they cannot, or two formats would have the same files.
        """
        formats: dict[str, str] = {}
        for offered in self.exporters:
            name, suffix = offered.item.name, offered.item.suffix
            if (other := formats.setdefault(suffix.casefold(), name)) != name:
                raise OutputError(
                    f"The formats {other} and {name} have files of the same name (*{suffix}).",
                    remedy="Export one of them, and the other by `allin1 export` into another folder.",
                )
        if self.viz_dir is not None:
            from allin1_core.presentation.figures import check_picture

            check_picture(self.viz_dir / f"x.{self.viz_format}")
        if self.sonif_dir is not None:
            from allin1_core.presentation.sound import check_sound_path

            check_sound_path(self.sonif_dir / f"x.{self.sonif_format}")
        export_dir = self.export_dir if self.exporters else None
        folders = {self.viz_dir, self.sonif_dir, self.array_dir, export_dir}
        self._there = frozenset(path for one in folders if one for path in _files_in(one))

    def make(self, outcome: Outcome) -> Iterable[Allin1Error]:
        """Make the files of one track; give what went wrong, while the others are made."""
        if outcome.result is None:
            return
        with ExitStack() as stack:
            yield from self._show(outcome, stack)
        name = outcome.track.name
        if self.array_dir is not None:
            try:
                self._copy_arrays(outcome, self.array_dir)
            except Allin1Error as error:
                yield error
        yield from self._export(outcome, name)

    def _copy_arrays(self, outcome: Outcome, folder: Path) -> None:
        from allin1_core.io.results import array_paths, save_arrays

        if outcome.written is not None and _is_same_folder(outcome.written.parent, folder):
            return  # they lie there as part of the result
        result = _with_arrays(outcome, embeddings=True)
        activations, embeddings = array_paths(folder, outcome.track.name)
        if result.activations is not None and not self._is_due(outcome, activations, "json"):
            result = replace(result, activations=None)
        if result.embeddings is not None and not self._is_due(outcome, embeddings, "json"):
            result = replace(result, embeddings=None)
        save_arrays(result, folder, outcome.track.name)

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
            try:
                if self._is_due(outcome, picture, "viz"):
                    from allin1_core.presentation.picture import write_picture

                    write_picture(audible(_with_arrays(outcome)), picture, name=name)
            except Allin1Error as error:
                yield error
        if self.sonif_dir is not None and outcome.result is not None:
            sound = self.sonif_dir / sonification_name(name, self.sonif_format)
            try:
                if self._is_due(outcome, sound, "sonify"):
                    from allin1_core.presentation.sound import write_sonification

                    write_sonification(audible(outcome.result), sound)
            except Allin1Error as error:
                yield error

    def finish(self) -> Iterable[Allin1Error]:
        """Make the files that hold several songs."""
        from allin1_core.runtime.exporting import destinations, export_songs

        overwrite = "export" in self.overwrite
        for offered in self.exporters:
            if not (offered.item.collects and self._songs):
                continue
            try:
                export_songs(
                    offered, self._songs, self.export_dir, overwrite=overwrite, keep_same=True
                )
            except Allin1Error as error:
                ((path, _),) = destinations(offered, self._songs, self.export_dir)
                if overwrite or not path.is_file() or isinstance(error, PluginError):
                    yield error
                    continue
                yield OutputError(
                    "exists already, and differs from what the songs of this batch give.",
                    remedy=f"`allin1 export {shown(self.export_dir)} --to {offered.item.name} --overwrite`"
                    " writes all results of the folder; --overwrite here, the songs of this batch alone.",
                    path=path,
                )

    def _export(self, outcome: Outcome, name: str) -> Iterable[Allin1Error]:
        if not self.exporters or outcome.result is None:
            return
        from allin1_core.runtime.exporting import export_songs, song_of

        song = song_of(outcome.result, name)
        self._songs.append(song)
        overwrite = "export" in self.overwrite
        for offered in self.exporters:
            if offered.item.collects:
                continue
            path = self.export_dir / f"{name}{offered.item.suffix}"
            if outcome.status == "done" or overwrite or not path.exists():
                try:
                    export_songs(
                        offered, [song], self.export_dir, overwrite=overwrite, keep_same=True
                    )
                except Allin1Error as error:
                    yield error

    def _is_due(self, outcome: Outcome, path: Path, what: str) -> bool:
        """Whether to make `path`; an error where it would replace what was there before the batch."""
        if what in self.overwrite or not path.exists():
            return True
        if outcome.status == "done" and path in self._there:
            refuse_to_replace(path)
        return False


def _files_in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # it is made, or told of, when something is written there


def _is_same_folder(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


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
