"""Files whose headers lie, that were put together from several, that are damaged in places, or that have unusual names."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.errors import AudioError
from allin1_core.io import audio
from allin1_core.io.audio import AudioInfo, probe_audio, read_audio
from allin1_core.io.decoding.opening import open_reader
from allin1_core.io.decoding.source import Source
from allin1_core.io.mix import MixFile, MixReader
from allin1_core.io.stems import StemFiles, read_stems, stem_blocks

SECONDS = 6

#: What says how long an ID3 tag is that holds 3000 bytes: seven bits a byte.
EMPTY_ID3 = b"ID3\4\0\0\0\0\x17\x38" + bytes(3000)


def noise(seconds: float, rate: int = 44_100, seed: int = 0) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).standard_normal((round(seconds * rate), 2))


def write(path: Path, content: np.ndarray, rate: int = 44_100, subtype: str | None = None) -> bytes:
    """Write piece by piece, as the encoder of Vorbis wants it."""
    container = "OGG" if path.suffix in (".ogg", ".opus") else None
    subtype = "OPUS" if path.suffix == ".opus" else subtype
    with soundfile.SoundFile(path, "w", rate, 2, subtype, format=container) as file:
        for start in range(0, len(content), 10_000):
            file.write(content[start : start + 10_000])
    return path.read_bytes()


def garbage(count: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def replaced(content: bytes, at: int, by: bytes) -> bytes:
    return content[:at] + by + content[at + len(by) :]


def read(path: Path, content: bytes) -> tuple[np.ndarray, AudioInfo]:
    path.write_bytes(content)
    samples, info = read_audio(path)
    return samples, info


def span_of(first: np.ndarray, second: np.ndarray, tolerance: float = 1e-4) -> tuple[float, float]:
    """From where to where two signals of one length differ, in seconds."""
    differ = np.flatnonzero(np.abs(first - second).max(axis=0) > tolerance)
    return float(differ[0]) / 44_100, float(differ[-1] + 1) / 44_100


def said_span(info: AudioInfo) -> tuple[float, float]:
    """What the only warning says of the only damaged place."""
    (warning,) = info.warnings
    start, end = warning.partition("damaged at ")[2].partition(" s;")[0].split("-")
    return float(start), float(end)


def assert_damage_is_told(samples: np.ndarray, info: AudioInfo, whole: np.ndarray) -> None:
    """The time axis is kept, and the one warning says where the signal is another."""
    assert samples.shape == whole.shape
    start, end = span_of(samples, whole)
    said_start, said_end = said_span(info)
    assert said_start == pytest.approx(start, abs=0.03)
    # An encoder's frames fade into each other; Opus needs 80 ms to find its way.
    assert said_end == pytest.approx(end, abs=0.12)
    assert end - start < 0.25 * whole.shape[1] / 44_100
    middle = slice(round((start + 0.03) * 44_100), round((said_end - 0.03) * 44_100))
    assert np.abs(samples[:, middle]).max() < 1e-3


# MP3


@pytest.fixture
def mp3(tmp_path: Path) -> bytes:
    return write(tmp_path / "whole.mp3", noise(SECONDS))


def first_frame(mp3: bytes) -> int:
    """Length of the frame that notes the length."""
    bit_rate = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[mp3[2] >> 4]
    return 144_000 * bit_rate // 44_100 + (mp3[2] >> 1 & 1)


def without_note(mp3: bytes) -> bytes:
    return mp3[first_frame(mp3) :]


def with_flags(mp3: bytes, flags: int) -> bytes:
    return replaced(mp3, mp3.index(b"Xing") + 4, struct.pack(">I", flags))


@pytest.mark.parametrize(
    ("change", "times"),
    [
        (without_note, 1),
        (lambda mp3: bytes(100) + without_note(mp3), 1),
        (lambda mp3: EMPTY_ID3 + bytes(5000) + without_note(mp3), 1),
        (lambda mp3: EMPTY_ID3 + EMPTY_ID3 + without_note(mp3), 1),
        (lambda mp3: garbage(700) + without_note(mp3), 1),
        (lambda mp3: with_flags(mp3, 0), 1),
        (lambda mp3: replaced(mp3, mp3.index(b"Xing") + 8, bytes(4)), 1),
        (lambda mp3: mp3 * 2, 2),
        (lambda mp3: without_note(mp3) * 2, 2),
        (lambda mp3: mp3 + b"TAG" + bytes(125) + EMPTY_ID3 + mp3, 2),
        (lambda mp3: mp3 + without_note(mp3), 2),
    ],
    ids=[
        *("no note", "zeros first", "padding behind ID3", "two ID3", "garbage first"),
        *("note without numbers", "note of 0 frames", "two", "two without notes"),
        *("two with tags", "two, the second without note"),
    ],
)
def test_an_mp3_is_read_to_its_end_whatever_its_note_says(
    tmp_path: Path, mp3: bytes, change: Callable[[bytes], bytes], times: int
) -> None:
    samples, info = read(tmp_path / "song.mp3", change(mp3))
    # Without a note, the encoder's delay and padding are part of the song.
    assert 0 <= samples.shape[1] - times * SECONDS * 44_100 < times * 3_000
    assert info.warnings == ()
    assert info.frames == samples.shape[1]
    # The end is as loud as the rest.
    assert np.abs(samples[:, -8_000:-4_000]).max() > 0.1


def test_a_length_that_the_size_of_an_mp3_belies_is_unknown(tmp_path: Path, mp3: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(mp3)
    assert probe_audio(path).duration_s == SECONDS
    path.write_bytes(EMPTY_ID3 + mp3 + b"TAG" + bytes(125))
    assert probe_audio(path).duration_s == SECONDS
    for content in (mp3 * 2, without_note(mp3), replaced(mp3, mp3.index(b"Xing") + 8, bytes(4))):
        path.write_bytes(content)
        assert probe_audio(path).frames is None
        assert MixFile(path).duration_s is None


def test_two_mp3s_in_one_are_each_of_them(tmp_path: Path, mp3: bytes) -> None:
    whole, _ = read(tmp_path / "song.mp3", mp3)
    both, _ = read(tmp_path / "song.mp3", mp3 * 2)
    np.testing.assert_array_equal(both, np.tile(whole, 2))


def test_an_mp3_without_note_is_decoded_as_if_it_had_one(tmp_path: Path, mp3: bytes) -> None:
    whole, _ = read(tmp_path / "song.mp3", mp3)
    late, _ = read(tmp_path / "song.mp3", without_note(mp3))
    # The encoder's 576 samples and the decoder's 529 are what the note would have cut off.
    count = whole.shape[1] - 2_000
    np.testing.assert_array_equal(late[:, 1_105 : 1_105 + count], whole[:, :count])


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("filling", [garbage(3_000), bytes(3_000)], ids=["garbage", "zeros"])
def test_what_stands_behind_damage_in_an_mp3_is_read_at_its_time(
    tmp_path: Path, mp3: bytes, noted: bool, filling: bytes
) -> None:
    content = mp3 if noted else without_note(mp3)
    whole, _ = read(tmp_path / "song.mp3", content)
    samples, info = read(tmp_path / "song.mp3", replaced(content, len(content) // 2, filling))
    assert_damage_is_told(samples, info, whole)


def test_bytes_put_into_an_mp3_of_one_rate_are_told_from_damage(tmp_path: Path) -> None:
    # Without a note, the frames' length alone tells whether something was lost.
    path = tmp_path / "song.mp3"
    try:
        soundfile.write(
            path, noise(SECONDS), 44_100, bitrate_mode="CONSTANT", compression_level=0.5
        )
    except TypeError:
        pytest.skip("needs soundfile 0.13 to choose how an MP3 is encoded")
    content = without_note(path.read_bytes())
    whole, _ = read(path, content)
    middle = len(content) // 2
    for changed in (
        content[:middle] + garbage(3_000) + content[middle:],
        replaced(content, middle, garbage(3_000)),
    ):
        samples, info = read(path, changed)
        assert_damage_is_told(samples, info, whole)


def test_bytes_put_into_an_mp3_do_not_move_what_follows(tmp_path: Path, mp3: bytes) -> None:
    whole, _ = read(tmp_path / "song.mp3", mp3)
    middle = len(mp3) // 2
    samples, info = read(tmp_path / "song.mp3", mp3[:middle] + garbage(3_000) + mp3[middle:])
    assert_damage_is_told(samples, info, whole)


def test_many_damaged_places_are_counted(tmp_path: Path, mp3: bytes) -> None:
    content = mp3
    for index in range(8):
        content = replaced(content, 8_000 + index * 11_000, garbage(1_500, index))
    samples, info = read(tmp_path / "song.mp3", content)
    assert samples.shape[1] == SECONDS * 44_100
    assert info.warnings[0].endswith("and 3 more places; silence was inserted there.")


# OGG and Opus


@pytest.mark.parametrize("name", ["song.ogg", "song.opus"])
def test_every_link_of_a_chain_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rate = 48_000 if path.suffix == ".opus" else 44_100
    first = write(path, noise(2, rate), rate)
    whole, _ = read_audio(path)
    second = write(path, noise(3, rate, seed=1), rate)
    other, _ = read_audio(path)
    samples, info = read(path, first + second)
    assert samples.shape[1] == 5 * 44_100
    for part, alone in ((slice(2 * 44_100), whole), (slice(2 * 44_100, None), other)):
        # One resampler does both; within its reach they meet.
        differ = np.flatnonzero(np.abs(samples[:, part] - alone).max(axis=0) > 1e-6)
        assert len(differ) < 500
    assert info.warnings == ()
    assert probe_audio(path).duration_s is None


@pytest.mark.parametrize(("first_rate", "second_rate"), [(44_100, 48_000), (32_000, 44_100)])
def test_the_rate_may_change_from_link_to_link(
    tmp_path: Path, first_rate: int, second_rate: int
) -> None:
    path = tmp_path / "song.ogg"
    first = write(path, noise(2, first_rate), first_rate)
    whole, _ = read_audio(path)
    second = write(path, noise(3, second_rate, seed=1), second_rate)
    other, _ = read_audio(path)
    samples, info = read(path, first + second)
    np.testing.assert_allclose(samples, np.concatenate([whole, other], axis=1), atol=1e-6)
    assert info.warnings == ()
    assert info.sample_rate == first_rate
    assert info.duration_s == pytest.approx(5.0)


@pytest.mark.parametrize("name", ["song.ogg", "song.opus"])
def test_what_stands_behind_a_hole_in_an_ogg_is_read_at_its_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rate = 48_000 if path.suffix == ".opus" else 44_100
    content = write(path, noise(12, rate), rate)
    whole, _ = read_audio(path)
    # One byte is enough for a page to have another checksum.
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 255
    samples, info = read(path, bytes(damaged))
    if path.suffix == ".ogg":
        assert_damage_is_told(samples, info, whole)
    else:
        start, end = said_span(info)
        assert samples.shape == whole.shape
        for part in (slice(round(start * 44_100)), slice(round((end + 0.5) * 44_100), None)):
            np.testing.assert_allclose(samples[:, part], whole[:, part], atol=2e-2)


@pytest.mark.parametrize("name", ["song.ogg", "song.opus"])
def test_what_stands_between_pages_costs_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = write(path, noise(3, 48_000), 48_000)
    whole, _ = read_audio(path)
    at = content.rindex(b"OggS")
    samples, info = read(path, content[:at] + garbage(3_000) + content[at:])
    np.testing.assert_array_equal(samples, whole)
    assert info.warnings == ()


# FLAC


def flac_of_unknown_length(content: bytes) -> bytes:
    """As encoders leave it that write to a pipe: the lower half of byte 13 of the first block and four more."""
    assert content[4] & 127 == 0
    return replaced(replaced(content, 8 + 13, bytes((content[8 + 13] & 0xF0,))), 8 + 14, bytes(4))


@pytest.mark.parametrize("change", [lambda content: content, flac_of_unknown_length])
@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_what_stands_behind_damage_in_a_flac_is_read_at_its_time(
    tmp_path: Path, change: Callable[[bytes], bytes], seconds: float
) -> None:
    content = change(write(tmp_path / "song.flac", noise(SECONDS)))
    whole, info = read(tmp_path / "song.flac", content)
    assert info.warnings == ()
    at = round(len(content) * seconds / SECONDS)
    samples, info = read(tmp_path / "song.flac", replaced(content, at, garbage(200)))
    assert_damage_is_told(samples, info, whole)
    samples, info = read(tmp_path / "song.flac", content[:at] + garbage(200) + content[at:])
    assert_damage_is_told(samples, info, whole)


def test_16_bit_stems_keep_their_scale_behind_damage(tmp_path: Path) -> None:
    content = write(tmp_path / "song.flac", noise(SECONDS))
    whole, _ = read_audio(tmp_path / "song.flac", pcm16_full_scale=32_767)
    (tmp_path / "song.flac").write_bytes(replaced(content, len(content) // 2, garbage(200)))
    samples, info = read_audio(tmp_path / "song.flac", pcm16_full_scale=32_767)
    assert_damage_is_told(samples, info, whole)


def test_two_flacs_in_one_are_both_read(tmp_path: Path) -> None:
    content = write(tmp_path / "song.flac", noise(2))
    whole, _ = read_audio(tmp_path / "song.flac")
    samples, info = read(tmp_path / "song.flac", content * 2 + b"TAG" + bytes(125))
    np.testing.assert_array_equal(samples, np.tile(whole, 2))
    assert info.warnings == ()


def test_an_unknown_length_is_no_length(tmp_path: Path) -> None:
    stems = {}
    for name in ("bass", "drums", "other", "vocals"):
        stems[name] = tmp_path / f"{name}.flac"
        content = write(stems[name], noise(2))
        if name == "bass":
            stems[name].write_bytes(flac_of_unknown_length(content))
    assert probe_audio(stems["bass"]).frames is None
    assert MixFile(stems["bass"]).duration_s is None
    files = StemFiles(**stems)
    assert files.duration_s == 2.0
    samples, _, warnings = read_stems(files)
    assert samples.samples.shape[-1] == 2 * 44_100
    assert warnings == []


# WAV and others


@pytest.mark.parametrize(
    ("name", "container", "length_at"),
    [
        ("song.wav", "WAV", lambda content: slice(content.index(b"data") + 4, 4)),
        ("song.wav", "WAVEX", lambda content: slice(content.index(b"data") + 4, 4)),
        ("song.wav", "RF64", lambda content: slice(content.index(b"ds64") + 16, 8)),
        ("song.aiff", "AIFF", lambda content: slice(content.index(b"SSND") + 4, 4)),
        ("song.au", "AU", lambda content: slice(8, 4)),
        ("song.caf", "CAF", lambda content: slice(content.index(b"data") + 4, 8)),
    ],
)
def test_what_a_recorder_that_crashed_left_is_read(
    tmp_path: Path, name: str, container: str, length_at: Callable[[bytes], slice]
) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(1), 44_100, format=container)
    content = path.read_bytes()
    whole, _ = read_audio(path)
    place = length_at(content)
    samples, info = read(path, replaced(content, place.start, bytes(place.stop)))
    np.testing.assert_array_equal(samples[:, : whole.shape[1]], whole)
    assert samples.shape[1] == whole.shape[1]
    assert info.warnings == ()


def test_a_wav_without_samples_holds_none_though_other_chunks_follow(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.zeros((0, 2)), 44_100)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 8) + b"INFOsong")
    with pytest.raises(AudioError, match="contains no samples"):
        read_audio(path)


@pytest.mark.parametrize("rate", [0, 1, 10, 3_999, 768_001, 2_000_000_000])
@pytest.mark.parametrize("name", ["song.wav", "song.au"])
def test_a_rate_that_no_music_has_is_refused(tmp_path: Path, name: str, rate: int) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(0.1), 44_100)
    code, at = ("<I", 24) if path.suffix == ".wav" else (">I", 16)
    path.write_bytes(replaced(path.read_bytes(), at, struct.pack(code, rate)))
    with pytest.raises(AudioError, match=rf"{rate} Hz|is not audio"):
        probe_audio(path)


def test_what_comes_out_of_a_low_rate_comes_in_small_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soxr

    path = tmp_path / "song.wav"
    soundfile.write(path, noise(20, 4_000), 4_000)
    lengths = []

    class Measured(soxr.ResampleStream):  # type: ignore[misc]
        def resample_chunk(self, *args: object, **kwargs: object) -> np.ndarray:
            out = super().resample_chunk(*args, **kwargs)
            lengths.append(len(out))
            return out

    monkeypatch.setattr(soxr, "ResampleStream", Measured)
    samples, _ = read_audio(path)
    assert samples.shape[1] == 20 * 44_100
    assert max(lengths) < 40_000


# Names


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"\xff\xfe.flac", "café.mp3".encode()])
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_any_name_can_be_read_in_any_locale(tmp_path: Path, name: bytes, locale: str) -> None:
    path = tmp_path / os.fsdecode(name)
    plain = tmp_path / f"plain{path.suffix}"
    write(plain, noise(1))
    plain.rename(path)
    code = (
        "import sys; from allin1_core.io.audio import read_audio;"
        "samples, info = read_audio(sys.argv[1]); print(samples.shape[1], info.warnings)"
    )
    for utf8 in ("0", "1"):
        env = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code, path], env=env, capture_output=True, check=True
        )
        assert done.stdout.split()[0] == b"44100"
        assert done.stderr == b""


def test_a_companion_with_a_resource_fork_does_not_hide_an_mp3(tmp_path: Path) -> None:
    content = write(tmp_path / "song.mp3", noise(1))
    # What macOS leaves on disks of other systems: a magic number, a version, one entry.
    fork = struct.pack(">II16sHIII", 0x00051607, 0x00020000, bytes(16), 1, 2, 38, 300) + bytes(300)
    (tmp_path / "._song.mp3").write_bytes(fork)
    samples, info = read(tmp_path / "song.mp3", content)
    assert samples.shape[1] == 44_100
    assert info.format == "MP3"


@pytest.mark.parametrize("name", ["so\0ng.wav", "\ud800.wav"])
def test_a_name_that_no_file_can_have_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioError, match="is not a valid name of a file|does not exist"):
        probe_audio(tmp_path / name)


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "song.wav"
    write(path, noise(5))
    opened = Path.open

    class Failing:
        """A file whose second half cannot be read."""

        def __init__(self, file: object) -> None:
            self._file = file

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

        def read(self, size: int = -1) -> bytes:
            if self._file.tell() > path.stat().st_size // 2:
                raise OSError(5, "Input/output error")
            return self._file.read(size)

    def open_failing(self: Path, *args: object, **kwargs: object) -> object:
        file = opened(self, *args, **kwargs)
        return Failing(file) if self == path else file

    monkeypatch.setattr(Path, "open", open_failing)
    with pytest.raises(AudioError, match=r"song\.wav: cannot be read: Input/output error"):
        read_audio(path)


# Loudness


@pytest.mark.parametrize(
    ("gain", "said"), [(0.0, "is silent"), (0.001, r"is very quiet, .* -\d\d dB"), (0.2, None)]
)
def test_a_song_that_cannot_be_heard_is_warned_of(
    tmp_path: Path, gain: float, said: str | None
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, gain * noise(1), 44_100, subtype="FLOAT")
    mix, info = MixFile(path).read()
    reader = MixReader(MixFile(path), 0.3)
    assert sum(block.samples.shape[1] for block in reader.blocks()) == 44_100
    assert reader.info == info
    assert info.peak == pytest.approx(np.abs(mix.samples).max())
    if said is None:
        assert info.warnings == ()
    else:
        (warning,) = info.warnings
        assert re.search(said, warning)


def test_a_silent_stem_is_usual_and_four_are_warned_of(tmp_path: Path) -> None:
    names = ("bass", "drums", "other", "vocals")
    for name in names:
        write(tmp_path / f"{name}.wav", noise(1) * (name != "bass"))
    files = StemFiles(**{name: tmp_path / f"{name}.wav" for name in names})
    assert read_stems(files)[2] == []
    for name in names:
        write(tmp_path / f"{name}.wav", noise(1) * 0)
    (warning,) = read_stems(files)[2]
    assert "is silent" in warning
    told = []

    def blocks() -> Iterator[np.ndarray]:
        told.extend((yield from stem_blocks(files, 50))[1])

    assert sum(block.shape[-1] for block in blocks()) == 44_100
    assert told == [warning]


# What FFmpeg reads


def encode_m4a(path: Path, content: np.ndarray, rate: int) -> bytes:
    av = pytest.importorskip("av", reason="needs the extra allin1-core[av]")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(content.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts = rate, 0
        cut = av.AudioResampler(format="fltp", layout="stereo", rate=rate, frame_size=1024)
        for part in [*cut.resample(frame), *cut.resample(None), None]:
            container.mux(stream.encode(part))
    return path.read_bytes()


def test_what_stands_behind_damage_in_an_m4a_is_read_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    content = encode_m4a(path, noise(SECONDS), 44_100)
    whole, info = read_audio(path)
    assert info.warnings == ()
    samples, info = read(path, replaced(content, len(content) // 2, garbage(3_000)))
    assert samples.shape == whole.shape
    start, end = said_span(info)
    assert 2.5 < start < end < start + 0.5
    # AAC fills bands with noise that is another each time.
    behind = slice(round((end + 0.1) * 44_100), None)
    assert np.corrcoef(samples[0, behind], whole[0, behind])[0, 1] > 0.95


def test_packets_of_other_lengths_are_put_together(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    encode_m4a(path, noise(2, 48_000), 48_000)
    reader = open_reader(Source(path), with_av=True)
    lengths = [len(block.samples) for block in reader.blocks()]
    reader.close()
    assert min(lengths[:-1]) >= 16_384
    assert sum(lengths) == pytest.approx(2 * 48_000, abs=1_024)


def test_a_broken_pyav_is_said_to_be_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None makes an import fail.
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(audio, "has_pyav", lambda: True)
    path = tmp_path / "song.m4a"
    path.write_bytes(garbage(5_000))
    with pytest.raises(AudioError, match="PyAV cannot be imported .* Reinstall it"):
        read_audio(path)
