"""The command ``allin1-train``: one word says what to do, the rest is that command's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "songs": ("allin1_train.songs", "compose and render songs with their truth, one shard each"),
    "annotated": ("allin1_train.annotated", "make shards of annotated recordings"),
    "train": ("allin1_train.trainer", "train a member on shards"),
    "export": ("allin1_train.export", "write a member's weights, rounded if wanted, after a check"),
    "evaluate": ("allin1_train.evaluate", "score weights on shards, decoded as allin1 does"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the first word names."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        import_module(COMMANDS[words[0]][0]).main(words[1:])
        return
    lines = [f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()]
    text = "\n".join(
        ["usage: allin1-train COMMAND ...", "", *lines, "", "COMMAND --help says more."]
    )
    if words and words[0] in ("-h", "--help"):
        print(text)
        return
    raise SystemExit(text)
