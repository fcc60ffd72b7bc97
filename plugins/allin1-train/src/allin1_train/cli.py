"""The command ``allin1-train``: the first argument is a subcommand, which parses the rest."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "songs": ("allin1_train.songs", "compose and render annotated songs, one shard each"),
    "annotated": ("allin1_train.annotated", "create shards of annotated recordings"),
    "train": ("allin1_train.trainer", "train a member on shards"),
    "export": (
        "allin1_train.export",
        "write the weights of a member, optionally rounded, and check them",
    ),
    "evaluate": ("allin1_train.evaluate", "score weights on shards, decoded as allin1 does"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        import_module(COMMANDS[words[0]][0]).main(words[1:])
        return
    lines = [f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()]
    text = "\n".join(
        [
            "usage: allin1-train COMMAND ...",
            "",
            *lines,
            "",
            "COMMAND --help shows the options of a command.",
        ]
    )
    if words and words[0] in ("-h", "--help"):
        print(text)
        return
    raise SystemExit(text)
