"""Formats of pictures and sound, by their suffix. Imports nothing, as every start of the command line reads it."""

from __future__ import annotations

#: Suffixes of pictures.
PICTURES = (".pdf", ".png", ".svg")

#: Suffixes of sound, with libsndfile's names of the format and subtype.
SOUNDS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
