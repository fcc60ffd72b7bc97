"""Backends of allin1 that use madmom; :mod:`.hooks` registers them, :mod:`.provider` finds an installed madmom."""
