"""``allin1 compare``."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.failures import Failures
from allin1_core.cli.parameters import INPUT, result_files
from allin1_core.cli.printing import say, say_json
from allin1_core.cli.scoring import Scoring, check_files, scoring_options

if TYPE_CHECKING:
    from allin1_core.evaluation.dataset import SongScores


@click.command()
@click.argument("first", type=INPUT, metavar="A")
@click.argument("second", type=INPUT, metavar="B")
@scoring_options
@click.pass_context
def command(
    ctx: click.Context,
    first: Path,
    second: Path,
    as_json: bool,
    table_file: Path | None,
    picture: Path | None,
    overwrite: bool,
) -> None:
    """Measure how well results B agree with results A, for example of two models or versions.

    A and B are folders of results, which are matched by name, or two results. A is the reference. If a result
    cannot be read, the error is printed, its song is left out, and the others are compared.
    """
    from allin1_core.errors import InputError
    from allin1_core.evaluation.dataset import compare, lowest, table, to_json
    from allin1_core.io.results import load_result

    # Unlike the methods of Path, these functions never raise an error.
    for side in (first, second):
        if not os.path.exists(side):  # noqa: PTH110
            raise InputError("does not exist.", remedy="Check its name.", path=side)
    has_folders = os.path.isdir(first)  # noqa: PTH112
    if has_folders != os.path.isdir(second):  # noqa: PTH112
        raise click.UsageError("Give two folders, or two results.")
    # Systems differ in how they encode accents in file names.
    sides = [
        {unicodedata.normalize("NFC", path.stem): path for path in result_files((side,))}
        for side in (first, second)
    ]
    if not has_folders:
        sides[1] = dict.fromkeys(sides[0], second)
    inputs = [path for side in sides for path in side.values()]
    check_files(table_file, picture, inputs=inputs, overwrite=overwrite)
    names = [name for name in sides[0] if name in sides[1]]
    if not names:
        raise InputError(
            f"No result has the same name as one in {first}.",
            remedy="Results are matched by their file names.",
            path=second,
        )
    failures = Failures(ctx)
    scoring = Scoring(failures)
    for name in names:
        scoring.add(
            name,
            compare,
            *(
                partial(load_result, side[name], load_activations=False, load_embeddings=False)
                for side in sides
            ),
        )
    alone = [sorted(set(one) - set(other)) for one, other in (sides, sides[::-1])]
    songs = scoring.songs
    furthest = lowest(songs)
    scoring.write_files(table_file, picture)
    if as_json:
        say_json(
            to_json(songs, scoring.left_out)
            | {
                "differs_most": {measure: song.name for measure, song in furthest.items()},
                "only_in_a": alone[0],
                "only_in_b": alone[1],
            },
            indent=2,
        )
        ctx.exit(failures.exit_status)
    if songs:
        say(table(songs))
        _say_differing(furthest)
    scoring.say_left_out()
    for side, names in zip((first, second), alone, strict=True):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            say(f"only in {side}: {', '.join(names[:5])}{more}", err=True)
    ctx.exit(failures.exit_status)


def _say_differing(furthest: Mapping[str, SongScores]) -> None:
    """Print the song that differs most for each measure."""
    from allin1_core.evaluation.scoring import MEASURES

    differing = {
        measure: song for measure, song in furthest.items() if song.scores[measure] < 1 - 1e-9
    }
    say("\ndiffers most" if differing else "\nno measure differs")
    width = max((len(MEASURES[measure]) for measure in differing), default=0)
    for measure, song in differing.items():
        say(f"  {MEASURES[measure]:<{width}}  {song.scores[measure]:.3f}  {song.name}")
