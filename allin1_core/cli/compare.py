"""``allin1 compare``."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import click

from allin1_core.cli.parameters import result_files
from allin1_core.cli.printing import say, say_json
from allin1_core.cli.scoring import check_files, scoring_options, write_files

_RESULTS = click.Path(exists=True, path_type=Path, readable=False)


@click.command()
@click.argument("first", type=_RESULTS, metavar="A")
@click.argument("second", type=_RESULTS, metavar="B")
@scoring_options
def command(
    first: Path,
    second: Path,
    as_json: bool,
    table_file: Path | None,
    picture: Path | None,
    overwrite: bool,
) -> None:
    """Measure how well results B agree with results A, for example of two models or versions.

    A and B are folders of results, which are matched by name, or two results. A is the reference.
    """
    from allin1_core.errors import InputError
    from allin1_core.evaluation.dataset import compare, lowest, table, to_json
    from allin1_core.evaluation.scoring import MEASURES
    from allin1_core.io.results import load_result

    if first.is_dir() != second.is_dir():
        raise click.UsageError("Give two folders, or two results.")
    # Systems differ in how they encode accents in file names.
    sides = [
        {unicodedata.normalize("NFC", path.stem): path for path in result_files((side,))}
        for side in (first, second)
    ]
    if not first.is_dir():
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
    songs = [
        compare(
            name,
            *(load_result(s[name], load_activations=False, load_embeddings=False) for s in sides),
        )
        for name in names
    ]
    alone = [sorted(set(one) - set(other)) for one, other in (sides, sides[::-1])]
    furthest = lowest(songs)
    write_files(songs, table_file, picture)
    if as_json:
        say_json(
            to_json(songs)
            | {
                "differs_most": {measure: song.name for measure, song in furthest.items()},
                "only_in_a": alone[0],
                "only_in_b": alone[1],
            },
            indent=2,
        )
        return
    say(table(songs))
    differing = {
        measure: song for measure, song in furthest.items() if song.scores[measure] < 1 - 1e-9
    }
    say("\ndiffers most" if differing else "\nno measure differs")
    width = max((len(MEASURES[measure]) for measure in differing), default=0)
    for measure, song in differing.items():
        say(f"  {MEASURES[measure]:<{width}}  {song.scores[measure]:.3f}  {song.name}")
    for side, names in zip((first, second), alone, strict=True):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            say(f"only in {side}: {', '.join(names[:5])}{more}", err=True)
