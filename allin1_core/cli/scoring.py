"""Options and output that the commands which score results share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from allin1_core.cli.failures import Failures
from allin1_core.cli.printing import say
from allin1_core.errors import InputError

if TYPE_CHECKING:
    from allin1_core.evaluation.dataset import LeftOut, SongScores

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)


def scoring_options(command: F) -> F:
    """Add ``--json``, ``--csv``, ``--picture`` and ``--overwrite``."""
    for option in (
        click.option(
            "--overwrite", is_flag=True, help="Replace an earlier table and picture of scores."
        ),
        click.option(
            "--picture",
            type=_FILE,
            help="Also draw the scores of each song, and the means; PDF, PNG or SVG by the suffix.",
        ),
        click.option("--csv", "table_file", type=_FILE, help="Also write the scores as CSV."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        command = option(command)
    return command


def check_files(
    table_file: Path | None, picture: Path | None, *, inputs: Sequence[Path], overwrite: bool
) -> None:
    """Raise an error if one of the files cannot be written, is one of `inputs`, or must not be replaced."""
    from allin1_core.io.side_files import check_file, refuse_inputs, refuse_same_file
    from allin1_core.presentation.figures import check_picture
    from allin1_core.presentation.scores_picture import is_scores

    refuse_same_file({"--csv": table_file, "--picture": picture})
    for file in (table_file, picture):
        if file is not None:
            refuse_inputs(file, inputs, "scores")
    if table_file is not None:
        check_file(table_file, "table of scores", _is_table, overwrite=overwrite)
    if picture is not None:
        check_file(picture, "picture of scores", is_scores, overwrite=overwrite)
        check_picture(picture)


def _is_table(file: BinaryIO) -> bool:
    from allin1_core.evaluation.scoring import MEASURES

    first, *cells = file.readline(1000).decode("utf-8", "replace").strip().split(",")
    return first == "song" and set(cells) <= {*MEASURES, "error"}


class Scoring:
    """The scores of a command: of each song whose files can be read, and the reasons for leaving out the others.

    Parameters
    ----------
    failures
        Reports the files that cannot be read.

    Attributes
    ----------
    songs
        The scores.
    left_out
        The songs without scores.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.songs: list[SongScores] = []
        self.left_out: list[LeftOut] = []

    def add(self, name: str, score: Callable[..., SongScores], *readers: Callable[[], Any]) -> None:
        """Call `score` with the name of a song and what each reader returns; leave the song out if one of them fails.

        Only an :class:`~allin1_core.errors.InputError` is a failure of this song.
        """
        from allin1_core.evaluation.dataset import LeftOut

        errors: list[InputError] = []
        try:
            contents = [content for read in readers for content in _read(read, errors)]
            if not errors:
                self.songs.append(score(name, *contents))
                return
        except InputError as error:
            error.path = error.path or name
            errors.append(error)
        self.left_out.append(LeftOut(name, tuple(map(str, errors))))
        for reason in errors:
            self._failures.report(reason)

    def write_files(self, table_file: Path | None, picture: Path | None) -> None:
        """Write the scores to the requested files, unless there are none."""
        from allin1_core.evaluation.dataset import measures_of, to_csv
        from allin1_core.evaluation.scoring import MEASURES
        from allin1_core.io.atomic import atomic_path

        songs = self.songs
        if table_file is not None and songs:
            with atomic_path(table_file) as temporary:
                content = to_csv(songs, self.left_out)
                temporary.write_bytes(content.encode("utf-8", "replace"))
        if picture is not None and songs:
            from allin1_core.presentation.scores_picture import write_scores

            columns = {
                MEASURES[name]: [s.scores[name] for s in songs if name in s.scores]
                for name in measures_of(songs)
            }
            write_scores(columns, picture)

    def say_left_out(self) -> None:
        """Print how many songs were left out, if any."""
        if self.left_out:
            count = len(self.songs) + len(self.left_out)
            say(f"left out: {len(self.left_out)} of {count} songs, which cannot be scored")


def _read(read: Callable[[], Any], errors: list[InputError]) -> list[Any]:
    """What a reader returns, in a list; empty after an error, which is added to `errors`."""
    try:
        return [read()]
    except InputError as error:
        errors.append(error)
        return []
