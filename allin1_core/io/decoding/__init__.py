"""Decoders of audio files, and what is known about damaged ones, by format."""
