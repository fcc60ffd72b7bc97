"""The original madmom as backends of allin1. See ``hooks`` for what it registers, ``provider`` for which madmom."""
