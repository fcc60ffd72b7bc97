"""Options and output that the commands which score results share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from allin1_core.cli.parameters import overwrite_option

if TYPE_CHECKING:
    from allin1_core.evaluation.dataset import SongScores

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)


def scoring_options(command: F) -> F:
    """Add ``--json``, ``--csv``, ``--picture`` and ``--overwrite``."""
    for option in (
        overwrite_option,
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
    """Raise an error if one of the files exists, is one of `inputs`, or has a suffix of audio."""
    from allin1_core.io.atomic import refuse_to_replace
    from allin1_core.io.side_files import refuse_audio_name, refuse_inputs, refuse_same_file

    refuse_same_file(table_file, picture, ("--csv", "--picture"))
    for file in (table_file, picture):
        if file is not None:
            refuse_audio_name(file, "scores")
            refuse_inputs(file, inputs, "scores")
            refuse_to_replace(file, overwrite=overwrite)


def write_files(songs: Sequence[SongScores], table_file: Path | None, picture: Path | None) -> None:
    """Write the scores to the requested files."""
    from allin1_core.evaluation.dataset import measures_of, to_csv
    from allin1_core.evaluation.scoring import MEASURES
    from allin1_core.io.atomic import atomic_path

    if table_file is not None:
        with atomic_path(table_file) as temporary:
            temporary.write_bytes(to_csv(songs).encode("utf-8", "replace"))
    if picture is not None:
        from allin1_core.presentation.scores_picture import write_scores

        columns = {
            MEASURES[name]: [s.scores[name] for s in songs if name in s.scores]
            for name in measures_of(songs)
        }
        write_scores(columns, picture)
