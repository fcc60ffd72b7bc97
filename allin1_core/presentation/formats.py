"""Kinds of files for eyes and ears, by their suffix. Light, since the command line reads it at its start."""

from __future__ import annotations

#: Pictures.
PICTURES = (".pdf", ".png", ".svg")

#: Sound: libsndfile's names of what a suffix stands for.
SOUNDS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
