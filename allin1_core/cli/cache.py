"""``allin1 cache``: show and clear the cache of earlier analyses."""

from __future__ import annotations

import click

from allin1_core.cli.printing import say, say_json


@click.group("cache")
def command() -> None:
    """Show or clear the cache of earlier analyses."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Print the location and size of the cache."""
    from allin1_core.io.cache import ArrayCache

    found = ArrayCache().info()
    if as_json:
        kinds = {k: {"entries": n, "size": size} for k, (n, size) in found.kinds.items()}
        record = {
            "folder": str(found.folder),
            "entries": found.entries,
            "size": found.size,
            "limit": found.limit,
            "kinds": kinds,
        }
        say_json(record, indent=2)
        return
    say(f"{found.folder}")
    limit = f"of at most {found.limit / 1e6:.0f} MB"
    say(f"{_entries(found.entries)}, {found.size / 1e6:.1f} MB {limit}")
    for kind, (count, size) in found.kinds.items():
        say(f"  {kind}: {_entries(count)}, {size / 1e6:.1f} MB")


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


@command.command()
def clear() -> None:
    """Remove all entries of the cache; other files in its folder are kept."""
    from allin1_core.io.cache import ArrayCache

    cache = ArrayCache()
    say(f"Removed {cache.clear() / 1e6:.1f} MB from {cache.folder}.")


@command.command()
def path() -> None:
    """Print the folder of the cache."""
    from allin1_core.io.cache import default_cache_folder

    say(default_cache_folder())
