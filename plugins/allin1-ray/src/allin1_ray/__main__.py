"""``python -m allin1_ray``: analyse data sets on a cluster; the command of a job."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import Any

import click
from allin1_core.errors import Allin1Error


@click.command()
@click.argument("songs", nargs=-1, required=True)
@click.option("-o", "--out-dir", required=True, help="Folder that all machines share, or its URL.")
@click.option("-m", "--model", help="Name of the model.")
@click.option("--only", type=click.Choice(["beats", "sections"]), help="Find nothing else.")
@click.option("--overwrite", is_flag=True, help="Make again what is up to date.")
@click.option("-d", "--device", help="cpu, or cuda for a GPU a worker.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each worker.")
@click.option("--weights-dir", help="Folder of weights, on each machine.")
@click.option("--address", help="Of the cluster.  [default: the running one, or a new one]")
@click.option("-j", "--workers", type=click.IntRange(min=1), help="Workers at most.")
@click.option("--cpus", type=float, help="CPUs of a worker.")
@click.option("--gpus", type=float, help="GPUs of a worker, such as 0.5.")
@click.option("--batch", type=click.IntRange(min=1), help="Songs of a task.")
@click.option(
    "--storage-options", type=json.loads, default="{}", help="Options of stores, as JSON."
)
@click.option(
    "--accept-failures", is_flag=True, help="Exit with status 0 even if songs failed, as in a job."
)
@click.option("--every", type=float, default=30.0, help="Seconds between lines of progress.")
def main(songs: tuple[str, ...], every: float, accept_failures: bool, **options: Any) -> None:
    """Analyse SONGS: paths, folders, patterns, URLs, or manifests (.parquet, .csv, .jsonl).

    What became of them is printed as JSON. Exit status 1 if some failed.
    """
    from allin1_ray.api import Progress, analyze

    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            click.echo(f"allin1: {progress}", err=True)

    try:
        summary = analyze(songs, progress=tell, **options)
    except Allin1Error as error:
        click.echo(f"allin1: error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(json.dumps(dataclasses.asdict(summary)))
    sys.exit(1 if summary.failed and not accept_failures else 0)


if __name__ == "__main__":
    main()
