"""``allin1 evaluate``."""

from __future__ import annotations

import os
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.failures import Failures
from allin1_core.cli.parameters import INPUT, result_files, results_argument
from allin1_core.cli.printing import say, say_json
from allin1_core.cli.scoring import Scoring, check_files, scoring_options

if TYPE_CHECKING:
    from allin1_core.contracts.result import AnalysisResult
    from allin1_core.evaluation.dataset import SongScores


@click.command()
@results_argument
@click.option(
    "--reference",
    "references",
    multiple=True,
    required=True,
    type=INPUT,
    metavar="FILE|FOLDER",
    help="Annotations: JAMS, .beats, .lab, text, CSV or TSV. May be repeated.",
)
@scoring_options
@click.pass_context
def command(
    ctx: click.Context,
    results: tuple[Path, ...],
    references: tuple[Path, ...],
    as_json: bool,
    table_file: Path | None,
    picture: Path | None,
    overwrite: bool,
) -> None:
    """Score RESULTs against annotations, with mir_eval.

    RESULT is the JSON that an analysis wrote, or a folder of them. A file of annotations belongs to the result of the
    same name (song.json: song.jams, song.beats.txt); several files of one song are combined, for example beats in one
    and sections in another. For a single result, the annotations may have any name. If a file cannot be read, the
    error is printed, its song is left out, and the others are scored.
    """
    from allin1_core.errors import InputError
    from allin1_core.evaluation.dataset import annotated, evaluate, table, to_json
    from allin1_core.evaluation.matching import display_names, find_references, song_name
    from allin1_core.evaluation.readers import read_reference
    from allin1_core.evaluation.reference import Reference
    from allin1_core.io.results import load_result

    failures = Failures(ctx)
    scoring = Scoring(failures)
    paths = list(dict.fromkeys(result_files(results, failures.report)))
    found = find_references(references, failures.report)
    inputs = [*paths, *(file for files in found.values() for file in files)]
    check_files(table_file, picture, inputs=inputs, overwrite=overwrite)
    if len(paths) == 1 and len(found) == 1:
        found = {song_name(paths[0]): next(iter(found.values()))}

    def score(name: str, result: AnalysisResult, *parts: Reference) -> SongScores:
        return evaluate(name, result, reduce(Reference.merged, parts))

    without = []
    for name, path in zip(display_names(paths), paths, strict=True):
        files = found.get(song_name(path), [])
        if not files and os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, never raises
            without.append(name)
            continue
        read_result = partial(load_result, path, load_activations=False, load_embeddings=False)
        scoring.add(name, score, read_result, *(partial(read_reference, file) for file in files))
    if not (scoring.songs or failures.exit_status):
        raise InputError(
            f"No result has the name of an annotated song; the annotations are of {', '.join(sorted(found)[:5])}.",
            remedy="Name the annotations after the results: song.jams for song.json.",
        )
    unused = sorted(set(found) - {song_name(path) for path in paths})
    scoring.write_files(table_file, picture)
    songs = scoring.songs
    if as_json:
        say_json(
            to_json(songs, scoring.left_out)
            | {"annotated": annotated(songs), "no_reference": without, "no_result": unused},
            indent=2,
        )
        ctx.exit(failures.exit_status)
    if songs:
        say(table(songs))
        counts = ", ".join(f"{part} of {count}" for part, count in annotated(songs).items())
        say(f"\nannotated: {counts}")
    scoring.say_left_out()
    for text, names in (
        ("result without annotations", without),
        ("annotations without result", unused),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            say(f"{text}: {', '.join(names[:5])}{more}", err=True)
    ctx.exit(failures.exit_status)
