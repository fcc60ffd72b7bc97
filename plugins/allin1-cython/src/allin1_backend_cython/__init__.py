"""Stages of allin1, compiled for CPUs. See ``hooks`` for what it registers."""
