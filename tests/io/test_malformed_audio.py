"""Files as no encoder makes them: read as far as they go, or refused, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.errors import AudioError
from allin1_core.io.audio import probe_audio, read_audio

SECONDS = 3

#: The length of a file that is refused.
REFUSED = None


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """A file of three seconds for every extension, made once; ``48.EXT`` at 48 kHz, and of another signal."""
    folder = tmp_path_factory.mktemp("originals")

    def make(name: str) -> bytes:
        path = folder / name
        if not path.exists():
            rate = 48_000 if name.startswith("48.") or name.endswith("opus") else 44_100
            kinds = {".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS")}
            container, subtype = kinds.get(path.suffix, (None, None))
            content = 0.2 * np.random.default_rng(rate).standard_normal((SECONDS * rate, 2))
            with soundfile.SoundFile(path, "w", rate, 2, subtype, format=container) as file:
                for start in range(0, len(content), 10_000):
                    file.write(content[start : start + 10_000])
        return path.read_bytes()

    return make


def put(content: bytes, at: int, by: bytes) -> bytes:
    return content[:at] + by + content[at + len(by) :]


def pages(ogg: bytes) -> list[bytes]:
    starts = [at for at in range(len(ogg)) if ogg.startswith(b"OggS", at)]
    return [ogg[start:end] for start, end in zip(starts, [*starts[1:], len(ogg)], strict=True)]


def garbage(count: int) -> bytes:
    return np.random.default_rng(0).bytes(count)


def in_riff(mp3: bytes) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 0x55, 2, 44_100, 16_000, 1, 0)
    head = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(mp3))
    return b"RIFF" + struct.pack("<I", len(head) + len(mp3)) + head + mp3


def swapped(flac: bytes) -> bytes:
    header, middle = flac.index(b"\xff\xf8"), len(flac) // 2
    return flac[:header] + flac[middle:] + flac[header:middle]


def without(content: bytes, start: float, end: float) -> bytes:
    return content[: round(start * len(content))] + content[round(end * len(content)) :]


APE = b"APETAGEX" + struct.pack("<IIII", 2_000, 32, 0, 1 << 31) + bytes(8)
ID3 = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
NOTED_FRAMES = 44

#: Name, what is done to the original of that extension, seconds that can be read, and a part of the warnings.
CASES: dict[str, tuple[Callable[[bytes], bytes], float | None, str]] = {
    # MP3
    "tag that claims 200 MB.mp3": (lambda f: b"ID3\4\0\0\x7f\x7f\x7f\x7f" + f, 3, ""),
    "beginning of a tag.mp3": (lambda f: b"ID3", REFUSED, ""),
    "note alone.mp3": (lambda f: f[: f.index(f[:2], 4)], REFUSED, ""),
    "first frames.mp3": (lambda f: f[:6_000], 0.3, "ends after"),
    "note of 4e9 frames.mp3": (lambda f: put(f, NOTED_FRAMES, b"\xff" * 4), 3, ""),
    "note of 70 frames.mp3": (lambda f: put(f, NOTED_FRAMES, struct.pack(">I", 70)), 3, ""),
    "run of ones.mp3": (lambda f: b"\xff" * 100_000 + f, 3, ""),
    "other tag behind.mp3": (lambda f: f + APE, 3, ""),
    "in a wave file.mp3": (in_riff, 3, ""),
    "a fifth lost.mp3": (lambda f: without(f, 0.4, 0.6), 2.4, "damaged at"),
    "end of another.mp3": (lambda f: f[len(f) * 2 // 3 :] + f, 4, ""),
    "inverted.mp3": (lambda f: bytes(255 - byte for byte in f), REFUSED, ""),
    # FLAC
    "tagged.flac": (lambda f: ID3 + f, 3, ""),
    "length of 18 days.flac": (
        lambda f: put(put(f, 21, bytes((f[21] | 15,))), 22, b"\xff" * 4),
        3,
        "ends after",
    ),
    "no sizes.flac": (lambda f: put(f, 8, bytes(4)), 3, ""),
    "no checksum.flac": (lambda f: put(f, 26, bytes(16)), 3, ""),
    "comment without end.flac": (lambda f: put(f, 5, b"\xff\xff\xff"), REFUSED, ""),
    "header alone.flac": (lambda f: f[: f.index(b"\xff\xf8")], REFUSED, ""),
    "second half.flac": (
        lambda f: f[: f.index(b"\xff\xf8")] + f[len(f) // 2 :],
        3,
        "damaged at 0.00-1.",
    ),
    "halves swapped.flac": (swapped, 3, "damaged at 0.00-1."),
    "half zero.flac": (lambda f: put(f, len(f) // 4, bytes(len(f) // 2)), 3, "damaged at"),
    "cut.flac": (lambda f: f[: len(f) // 2], 1.4, "after 1."),
    "as a song.mp3.flac": (lambda f: f, 3, ""),
    "and zeros.flac": (lambda f: f + bytes(10_000), 3, ""),
    # OGG
    "no first page.ogg": (lambda f: b"".join(pages(f)[1:]), REFUSED, ""),
    "no second page.ogg": (lambda f: b"".join(pages(f)[:1] + pages(f)[2:]), REFUSED, ""),
    "first page twice.ogg": (lambda f: pages(f)[0] + f, 3, ""),
    "a page twice.ogg": (lambda f: b"".join(pages(f)[:5] + pages(f)[4:]), 3, ""),
    "a page lost.ogg": (lambda f: b"".join(pages(f)[:5] + pages(f)[6:]), 3, "damaged at"),
    "pages reversed.ogg": (lambda f: b"".join(pages(f)[:2] + pages(f)[:1:-1]), 3, "damaged at"),
    "garbage first.ogg": (lambda f: garbage(500) + f, 3, ""),
    "tagged.ogg": (lambda f: ID3 + f, 3, ""),
    "header of the first damaged.ogg": (lambda f: put(f, 40, b"?") + f, 6, "damaged at 0.00-"),
    "cut link in the middle.ogg": (lambda f: f + b"".join(pages(f)[:5]) + f, 6.85, ""),
    "garbage behind.ogg": (lambda f: f + garbage(5_000), 3, ""),
    # Opus
    "first page of audio lost.opus": (
        lambda f: b"".join(pages(f)[:2] + pages(f)[3:]),
        3,
        "damaged at 0.00-0.97",
    ),
    "page lost.opus": (lambda f: b"".join(pages(f)[:3] + pages(f)[4:]), 3, "damaged at 0.97-"),
    "last page but one lost.opus": (
        lambda f: b"".join(pages(f)[:-2] + pages(f)[-1:]),
        3,
        "-3.00 s; silence",
    ),
    "last page lost.opus": (lambda f: b"".join(pages(f)[:-1]), 2.9, ""),
    "headers alone.opus": (lambda f: b"".join(pages(f)[:2]), REFUSED, ""),
    "no tags.opus": (lambda f: b"".join(pages(f)[:1] + pages(f)[2:]), REFUSED, ""),
    "no head.opus": (lambda f: b"".join(pages(f)[1:]), REFUSED, ""),
    "first page twice.opus": (lambda f: pages(f)[0] + f, 3, ""),
    "page twice.opus": (lambda f: b"".join(pages(f)[:4] + pages(f)[3:]), 3, ""),
    "garbage first.opus": (lambda f: garbage(500) + f, 3, ""),
    "twice.opus": (lambda f: f * 2, 6, ""),
    # WAV
    "riff of nothing.wav": (lambda f: put(f, 4, bytes(4)), 3, ""),
    "no data.wav": (lambda f: f[:36], REFUSED, ""),
    "odd data.wav": (lambda f: put(f, 40, struct.pack("<I", len(f) - 47)), 3, ""),
    "0 channels.wav": (lambda f: put(f, 22, bytes(2)), REFUSED, ""),
    "65 channels.wav": (lambda f: put(f, 22, b"A\0"), REFUSED, ""),
    "65535 channels.wav": (lambda f: put(f, 22, b"\xff\xff"), REFUSED, ""),
    "0 bits.wav": (lambda f: put(f, 34, bytes(2)), REFUSED, ""),
    "255 bits.wav": (lambda f: put(f, 34, b"\xff\0"), REFUSED, ""),
    "endless chunk.wav": (lambda f: f[:12] + b"junk\xff\xff\xff\xff" + f[12:], REFUSED, ""),
    "frames of 0 bytes.wav": (lambda f: put(f, 32, bytes(2)), 3, ""),
    "more data than there is.wav": (lambda f: put(f, 40, struct.pack("<I", 10**9)), 3, "ends"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_read_as_far_as_it_goes_or_refused(
    tmp_path: Path, original: Callable[[str], bytes], name: str
) -> None:
    change, seconds, said = CASES[name]
    path = tmp_path / name
    path.write_bytes(change(original(f"whole{path.suffix}")))
    if seconds is REFUSED:
        with pytest.raises(AudioError):
            read_audio(path)
        return
    samples, info = read_audio(path)
    assert samples.shape[1] / 44_100 == pytest.approx(seconds, abs=0.1)
    assert np.isfinite(samples).all()
    warnings = " ".join(info.warnings)
    assert said in warnings
    assert bool(said) == bool(info.warnings), warnings
    probed_s = probe_audio(path).duration_s
    assert probed_s is None or probed_s <= max(seconds + 0.1, 0 if not said else float("inf"))
