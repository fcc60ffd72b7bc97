"""Reading of audio files: this package, soundfile with soxr, and FFmpeg through PyAV.

Prints for each format and rate how many seconds of audio are decoded and resampled to float32 at 44.1 kHz per CPU second::

    python benchmarks/bench_reading.py
    python benchmarks/bench_reading.py --song song.wav --seconds 180 --rounds 5

CPU time of the process, the best of several rounds in which the readers take turns. Without ``--song``, a signal of tones
and noise is encoded. The last lines compare the accuracy of the qualities of soxr with VHQ, for resampling from 48 kHz: the
largest difference in the middle of the signal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.io.audio import read_audio

Samples = NDArray[np.float32]

#: Container, sample format and rates of each kind of file that libsndfile writes.
KINDS = (
    ("wav", "WAV", "PCM_16", (44_100, 48_000)),
    ("flac", "FLAC", "PCM_16", (44_100, 48_000)),
    ("mp3", "MP3", "MPEG_LAYER_III", (44_100, 48_000)),
    ("ogg", "OGG", "VORBIS", (44_100, 48_000)),
    ("opus", "OGG", "OPUS", (48_000,)),
)


def by_us(path: Path) -> Samples:
    return read_audio(path)[0]


def by_soundfile(path: Path) -> Samples:
    """The file in one piece, resampled in one piece."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality="VHQ")
    return np.ascontiguousarray(samples.T)


def by_ffmpeg(path: Path) -> Samples:
    """Decoded by FFmpeg, and resampled by its own resampler with default settings."""
    parts = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        convert = av.AudioResampler(format="fltp", rate=SAMPLE_RATE)
        for frame in container.decode(stream):
            parts += [part.to_ndarray() for part in convert.resample(frame)]
        parts += [part.to_ndarray() for part in convert.resample(None)]
    return np.concatenate(parts, axis=1)


SIDES: dict[str, Callable[[Path], Samples]] = {
    "allin1": by_us,
    "soundfile + soxr VHQ": by_soundfile,
    "FFmpeg": by_ffmpeg,
}


def signal(seconds: float) -> Samples:
    """Tones that come and go, with noise, in stereo at 44.1 kHz."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 440.0, 3_000.0, 9_000.0))
    sound = 0.1 * tones * (t % 0.5 < 0.3) + 0.05 * rng.standard_normal(len(t))
    return np.stack([sound, 0.7 * sound[::-1]]).astype(np.float32)


def files(folder: Path, mix: Samples) -> Iterator[Path]:
    """Encode a mix in every way."""
    at_rate = {
        rate: soxr.resample(np.ascontiguousarray(mix.T), SAMPLE_RATE, rate)
        for rate in (44_100, 48_000)
    }
    for extension, container, subtype, rates in KINDS:
        for rate in rates:
            path = folder / f"{rate}.{extension}"
            with soundfile.SoundFile(path, "w", rate, 2, subtype, format=container) as file:
                for start in range(0, len(at_rate[rate]), 10_000):
                    file.write(at_rate[rate][start : start + 10_000])
            yield path
    for rate, content in at_rate.items():
        path = folder / f"{rate}.m4a"
        encode_aac(path, content, rate)
        yield path


def encode_aac(path: Path, content: Samples, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(content.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts = rate, 0
        cut = av.AudioResampler(format="fltp", layout="stereo", rate=rate, frame_size=1024)
        for part in [*cut.resample(frame), *cut.resample(None), None]:
            container.mux(stream.encode(part))


def best_rates(
    sides: dict[str, Callable[[], object]], seconds: float, rounds: int
) -> dict[str, float]:
    """Seconds of audio per second of CPU time, by reader; 0 if it does not support the format."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, call in sides.items():
            began = time.process_time()
            try:
                call()
            except soundfile.LibsndfileError:
                continue
            best[name] = min(best[name], time.process_time() - began)
    return {name: seconds / spent for name, spent in best.items()}


def told(name: str, rates: dict[str, float]) -> str:
    return f"{name:12}" + "".join(
        f"{rate:22.0f}" if rate else f"{'-':>22}" for rate in rates.values()
    )


def compare_files(mix: Samples, seconds: float, rounds: int) -> None:
    print(f"{'x real time':12}" + "".join(f"{name:>22}" for name in SIDES))
    with tempfile.TemporaryDirectory() as folder:
        for path in files(Path(folder), mix):
            calls = {
                name: (lambda read=read, path=path: read(path)) for name, read in SIDES.items()
            }
            print(told(path.name, best_rates(calls, seconds, rounds)), flush=True)


def compare_qualities(mix: Samples, seconds: float, rounds: int) -> None:
    at_48k = soxr.resample(np.ascontiguousarray(mix.T), SAMPLE_RATE, 48_000)

    def resample(quality: str) -> Samples:
        return soxr.resample(at_48k, 48_000, SAMPLE_RATE, quality=quality)

    qualities = ("VHQ", "HQ", "MQ", "LQ")
    calls = {quality: (lambda quality=quality: resample(quality)) for quality in qualities}
    rates = best_rates(calls, seconds, rounds)
    middle = slice(SAMPLE_RATE, -SAMPLE_RATE)
    wanted = resample("VHQ")[middle]
    for quality, rate in rates.items():
        differs = np.abs(resample(quality)[middle] - wanted).max()
        print(f"soxr {quality:4} {rate:8.0f} x real time, differs by {differs:.1e}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--song", type=Path, help="file to encode, instead of a generated signal")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    mix = signal(options.seconds) if options.song is None else by_us(options.song)
    mix = np.clip(mix[:, : round(options.seconds * SAMPLE_RATE)], -1, 1)
    seconds = mix.shape[1] / SAMPLE_RATE
    compare_files(mix, seconds, options.rounds)
    compare_qualities(mix, seconds, options.rounds)


if __name__ == "__main__":
    main()
