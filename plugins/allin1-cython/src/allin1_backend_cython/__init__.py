"""Compiled backends of allin1 for CPUs; :mod:`.hooks` registers them."""
