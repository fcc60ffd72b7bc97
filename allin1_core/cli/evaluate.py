"""``allin1 evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from allin1_core.cli.parameters import result_files, results_argument
from allin1_core.cli.printing import say, say_json
from allin1_core.cli.scoring import check_files, scoring_options, write_files


@click.command()
@results_argument
@click.option(
    "--reference",
    "references",
    multiple=True,
    required=True,
    type=click.Path(exists=True, path_type=Path, readable=False),
    metavar="FILE|FOLDER",
    help="Annotations: JAMS, .beats, .lab, text, CSV or TSV. May be repeated.",
)
@scoring_options
def command(
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
    and sections in another. For a single result, the annotations may have any name.
    """
    from allin1_core.errors import InputError
    from allin1_core.evaluation.dataset import annotated, evaluate, table, to_json
    from allin1_core.evaluation.matching import display_names, find_references, song_name
    from allin1_core.evaluation.readers import read_references
    from allin1_core.io.results import load_result

    paths = result_files(results)
    found = find_references(references)
    inputs = [*paths, *(file for files in found.values() for file in files)]
    check_files(table_file, picture, inputs=inputs, overwrite=overwrite)
    if len(paths) == 1 and len(found) == 1:
        found = {song_name(paths[0]): next(iter(found.values()))}
    songs, without = [], []
    for name, path in zip(display_names(paths), paths, strict=True):
        files = found.get(song_name(path))
        if files is None:
            without.append(name)
        else:
            result = load_result(path, load_activations=False, load_embeddings=False)
            songs.append(evaluate(name, result, read_references(files)))
    if not songs:
        raise InputError(
            f"No result has the name of an annotated song; the annotations are of {', '.join(sorted(found)[:5])}.",
            remedy="Name the annotations after the results: song.jams for song.json.",
        )
    unused = sorted(set(found) - {song_name(path) for path in paths})
    write_files(songs, table_file, picture)
    if as_json:
        say_json(
            to_json(songs)
            | {"annotated": annotated(songs), "no_reference": without, "no_result": unused},
            indent=2,
        )
        return
    say(table(songs))
    counts = ", ".join(f"{part} of {count}" for part, count in annotated(songs).items())
    say(f"\nannotated: {counts}")
    for text, names in (
        ("result without annotations", without),
        ("annotations without result", unused),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            say(f"{text}: {', '.join(names[:5])}{more}", err=True)
