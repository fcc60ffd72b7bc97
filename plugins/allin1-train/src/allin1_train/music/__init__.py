"""Seeded songs: composition, and rendering to audio."""

from allin1_train.music.composer import compose
from allin1_train.music.renderer import render
from allin1_train.music.score import Song
from allin1_train.music.soundfont import SoundFont

__all__ = ["Song", "SoundFont", "compose", "render"]
