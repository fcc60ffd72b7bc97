"""Readers of audio files, one for each format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from runner import Target

from allin1_core.io.audio import probe_audio, read_audio

SECONDS = 1.5


def signal(rate: int) -> np.ndarray:
    """Half noise, half tones, so that encoders use all that they know."""
    rng = np.random.default_rng(rate)
    t = np.arange(round(SECONDS * rate)) / rate
    tones = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 3_000 * t)
    sound = np.where(t % 0.5 < 0.25, tones, 0.1 * rng.standard_normal(len(t)))
    return np.stack([sound, 0.5 * sound], axis=1)


def read(path: Path) -> None:
    """Look at a file, then read it, and check what came."""
    probe_audio(path)
    samples, info = read_audio(path)
    assert samples.shape[0] == 2
    assert samples.shape[1] > 0
    assert samples.dtype == np.float32
    assert info.frames


def by_soundfile(folder: Path, *kinds: tuple[str, str, int]) -> list[bytes]:
    """Encode for each container, sample format and rate."""
    contents = []
    for container, subtype, rate in kinds:
        path = folder / "original"
        content = signal(rate)
        with soundfile.SoundFile(path, "w", rate, 2, subtype, format=container) as file:
            for start in range(0, len(content), 10_000):
                file.write(content[start : start + 10_000])
        contents.append(path.read_bytes())
    return contents


def by_av(folder: Path, suffix: str, *codecs: str) -> list[bytes]:
    """Encode with each codec."""
    import av

    contents = []
    for codec in codecs:
        path = folder / f"original{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=44_100, layout="stereo")
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(signal(44_100).T, np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = 44_100, 0
            cut = av.AudioResampler(
                format=stream.codec_context.format.name,
                layout="stereo",
                rate=44_100,
                frame_size=stream.codec_context.frame_size or 1024,
            )
            for part in [*cut.resample(frame), *cut.resample(None), None]:
                container.mux(stream.encode(part))
        contents.append(path.read_bytes())
    return contents


def with_twins(make: Callable[[Path], list[bytes]], folder: Path) -> list[bytes]:
    """What `make` gives, and each of them twice in one file."""
    contents = make(folder)
    return contents + [content * 2 for content in contents]


def ogg(subtype: str, rate: int) -> Callable[[Path], list[bytes]]:
    return partial(with_twins, lambda folder: by_soundfile(folder, ("OGG", subtype, rate)))


def mp3(folder: Path) -> list[bytes]:
    noted = by_soundfile(
        folder, ("MP3", "MPEG_LAYER_III", 44_100), ("MP3", "MPEG_LAYER_III", 22_050)
    )
    # The first frame is the note; the next begins where another has the same first two bytes.
    bare = [content[content.index(content[:2], 4) :] for content in noted]
    return noted + bare


WAVS = (
    *(("WAV", "PCM_16", 44_100), ("WAV", "PCM_24", 48_000), ("WAVEX", "FLOAT", 44_100)),
    *(("RF64", "PCM_16", 44_100), ("WAV", "IMA_ADPCM", 44_100)),
)
OTHERS = (
    *(("AIFF", "PCM_16", 44_100), ("AU", "PCM_16", 44_100), ("CAF", "PCM_16", 44_100)),
    *(("W64", "PCM_16", 44_100), ("CAF", "ALAC_16", 44_100)),
)
FLACS = (("FLAC", "PCM_16", 44_100), ("FLAC", "PCM_24", 48_000))

TARGETS = (
    Target("wav", ".wav", lambda folder: by_soundfile(folder, *WAVS), read),
    Target("others", ".aiff", lambda folder: by_soundfile(folder, *OTHERS), read),
    Target("flac", ".flac", partial(with_twins, lambda f: by_soundfile(f, *FLACS)), read),
    Target("ogg", ".ogg", ogg("VORBIS", 44_100), read),
    Target("opus", ".opus", ogg("OPUS", 48_000), read),
    Target("mp3", ".mp3", partial(with_twins, mp3), read),
    Target("m4a", ".m4a", lambda folder: by_av(folder, ".m4a", "aac", "alac"), read, needs="av"),
)
