"""Notes of sampled instruments, rendered from a SoundFont by tinysoundfont."""

from pathlib import Path

import numpy as np

from allin1_train.music.audio import RATE, Signal, f32, faded


class SoundFont:
    """A General MIDI SoundFont (.sf2 or .sf3) that renders single notes.

    Load it before forking: loading takes seconds, and child processes then share the memory.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        from tinysoundfont import _tinysoundfont as tsf

        if not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no SoundFont {path}. Pass the path of FluidR3Mono_GM.sf3 (Debian: fluidr3mono-gm-soundfont)."
            )
        self._font = tsf.SoundFont(str(path))
        self._font.set_output(tsf.OutputMode.Mono, RATE, -6.0)
        self._font.set_max_voices(64)

    def select(self, program: int, drums: bool) -> None:
        """Choose the instrument, or for `drums` the kit, of the notes that follow."""
        channel = 9 if drums else 0
        self._font.channel_set_bank(channel, 128 if drums else 0)
        self._font.channel_set_preset_number(channel, program, drums)

    def note(self, pitch: int, seconds: float, velocity: float, drums: bool) -> Signal:
        """One note of the chosen instrument with its release, until it is silent."""
        font, channel = self._font, 9 if drums else 0
        font.channel_note_on(channel, pitch, velocity)
        parts = [self._chunk(int(RATE * (0.08 if drums else seconds)))]
        if not drums:
            font.channel_note_off(channel, pitch)
        for _ in range(12 if drums else 7):
            parts.append(self._chunk(RATE // 7))
            if np.abs(parts[-1]).max() < 3e-4:
                break
        font.channel_sounds_off(channel)
        for _ in range(64):  # until silence, so that its end is not part of the next note
            if not self._chunk(256).any():
                break
        return faded(np.concatenate(parts), 2000)

    def _chunk(self, n: int) -> Signal:
        out = np.zeros(n, f32)
        self._font.render(out.view(np.uint8))
        return out
