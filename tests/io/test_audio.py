from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allin1_core.contracts.audio import Mix
from allin1_core.errors import AudioError
from allin1_core.io import audio
from allin1_core.io.audio import open_audio, probe_audio, read_audio
from allin1_core.io.decoding import source

#: Frequencies that every rate from 22.05 kHz on can carry, with amplitudes and phases.
PARTIALS = ((110.3, 0.3, 0.1), (997.0, 0.2, 1.0), (5023.7, 0.1, 2.0))


def tones(sample_rate: int, count: int, gain: float = 1.0) -> np.ndarray:
    """Samples of one band-limited signal at any rate."""
    t = np.arange(count) / sample_rate
    return gain * sum(a * np.sin(2 * np.pi * f * t + p) for f, a, p in PARTIALS)


def noise(count: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).standard_normal((count, channels))


def clicks(sample_rate: int, seconds: float = 5.0) -> np.ndarray:
    signal = np.zeros((int(sample_rate * seconds), 2))
    burst = np.arange(sample_rate // 200) / sample_rate
    sound = 0.7 * np.exp(-burst * 1500) * np.cos(2 * np.pi * 2500 * burst)
    for time in (0.5, 1.3, 2.7, 4.1):
        start = round(time * sample_rate)
        signal[start : start + len(sound)] += sound[:, None]
    return signal


def delay_s(later: np.ndarray, earlier: np.ndarray, sample_rate: int) -> float:
    """By cross-correlation."""
    size = 1 << (len(later) + len(earlier)).bit_length()
    spectrum = np.fft.rfft(later, size) * np.conj(np.fft.rfft(earlier, size))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return (lag if lag < size // 2 else lag - size) / sample_rate


def write_mp3(path: Path, content: np.ndarray, mode: str, level: float) -> None:
    if tuple(int(part) for part in soundfile.__version__.split(".")[:2]) < (0, 13):
        pytest.skip("needs soundfile 0.13 to choose how an MP3 is encoded")
    soundfile.write(path, content, 44_100, bitrate_mode=mode, compression_level=level)


def without_first_mp3_frame(content: bytes) -> bytes:
    """Remove the frame that tells the length and the delay."""
    start = content.index(b"\xff\xfb")
    bitrate = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[
        (content[start + 2] >> 4) - 1
    ]
    return content[start + 144_000 * bitrate // 44_100 + (content[start + 2] >> 1 & 1) :]


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "has_pyav", lambda: False)


# What is right about the signal


@pytest.mark.parametrize(
    ("sample_rate", "subtype", "tolerance"),
    [
        (44_100, "FLOAT", 1e-7),
        (44_100, "DOUBLE", 1e-7),
        (44_100, "PCM_24", 2e-7),
        (44_100, "PCM_32", 1e-7),
        (44_100, "PCM_16", 6e-5),
        (44_100, "PCM_U8", 2e-2),
        (48_000, "FLOAT", 2e-6),
        (48_000, "PCM_24", 2e-6),
        (22_050, "FLOAT", 2e-6),
        (96_000, "PCM_24", 2e-6),
        (192_000, "FLOAT", 2e-6),
        (32_000, "PCM_16", 6e-5),
    ],
)
@pytest.mark.parametrize("file_channels", [1, 2])
def test_any_rate_and_format_gives_the_same_signal_at_44100_hz(
    tmp_path: Path, sample_rate: int, subtype: str, tolerance: float, file_channels: int
) -> None:
    path = tmp_path / "tones.wav"
    left, right = tones(sample_rate, sample_rate), tones(sample_rate, sample_rate, -0.5)
    content = left if file_channels == 1 else np.stack([left, right], axis=1)
    soundfile.write(path, content, sample_rate, subtype=subtype)
    samples, info = read_audio(path)
    assert samples.dtype == np.float32
    assert samples.shape == (2, 44_100)
    assert (info.sample_rate, info.channels, info.frames) == (
        sample_rate,
        file_channels,
        sample_rate,
    )
    assert (info.format, info.subtype, info.duration_s) == ("WAV", subtype, 1.0)
    expected = [tones(44_100, 44_100), tones(44_100, 44_100, 1.0 if file_channels == 1 else -0.5)]
    # The tones begin and end abruptly; the filter rings there.
    middle = slice(2_000, -2_000)
    np.testing.assert_allclose(samples[:, middle], np.array(expected)[:, middle], atol=tolerance)
    Mix(samples).validate()


@given(
    sample_rate=st.sampled_from([44_100, 48_000, 22_050, 11_025, 96_000]),
    count=st.integers(1, 60_000),
    channels=st.integers(1, 8),
    wanted=st.sampled_from([1, 2]),
    block_s=st.floats(0.01, 2.0),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_blocks_put_together_are_the_whole(
    tmp_path: Path, sample_rate: int, count: int, channels: int, wanted: Any, block_s: float
) -> None:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(count, channels), sample_rate, subtype="FLOAT")
    length = count * 44_100 / sample_rate
    if round(length) == 0:
        with pytest.raises(AudioError, match="contains no samples"):
            read_audio(path)
        return
    whole, info = read_audio(path, channels=wanted)
    assert whole.shape[0] == wanted
    assert abs(whole.shape[1] - length) <= 1
    with open_audio(path, channels=wanted) as stream:
        blocks = list(stream.blocks(block_s))
        assert stream.info == info
    assert {block.shape[1] for block in blocks[:-1]} <= {round(block_s * 44_100)}
    assert 0 < blocks[-1].shape[1] <= round(block_s * 44_100)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, atol=1e-6)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.wav"
    soundfile.write(path, noise(48_000 * 40), 48_000)
    tracemalloc.start()
    try:
        with open_audio(path) as stream:
            for _ in stream.blocks(0.5):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The file is 15 MB in float32, a block 0.2 MB.
    assert peak < 3e6


def test_a_block_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", noise(100), 44_100)
    with open_audio(tmp_path / "noise.wav") as stream, pytest.raises(ValueError, match="no sample"):
        next(stream.blocks(0))


def test_six_channels_are_folded_down_as_bs_775_says(tmp_path: Path) -> None:
    path = tmp_path / "surround.wav"
    content = noise(1000, 6)
    soundfile.write(path, content, 44_100, subtype="FLOAT")
    left, right, centre, _, left_surround, right_surround = content.T.astype(np.float32)
    samples, info = read_audio(path)
    assert info.channels == 6
    expected = [
        left + 0.70710678 * (centre + left_surround),
        right + 0.70710678 * (centre + right_surround),
    ]
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    np.testing.assert_allclose(
        read_audio(path, channels=1)[0], [np.mean(expected, axis=0)], atol=1e-6
    )


@pytest.mark.parametrize("count", [3, 4, 5, 7, 8])
def test_other_channel_counts_are_averaged_into_both(tmp_path: Path, count: int) -> None:
    path = tmp_path / "channels.wav"
    content = noise(1000, count)
    soundfile.write(path, content, 44_100, subtype="FLOAT")
    samples, _ = read_audio(path)
    np.testing.assert_allclose(samples, [content.mean(axis=1)] * 2, atol=1e-6)


def test_16_bit_samples_can_be_divided_by_32767(tmp_path: Path) -> None:
    path = tmp_path / "extremes.wav"
    codes = np.array([-32_768, -32_767, -1, 0, 1, 12_345, 32_767], np.int16)
    soundfile.write(path, codes, 44_100)
    plain = read_audio(path, channels=1)[0]
    np.testing.assert_array_equal(plain[0], codes / np.float32(32_768))
    full = read_audio(path, channels=1, pcm16_full_scale=32_767)[0]
    np.testing.assert_array_equal(full[0], codes / np.float32(32_767))


# MP3


@pytest.mark.parametrize("sample_rate", [44_100, 48_000, 22_050])
def test_mp3_starts_when_the_wav_does(tmp_path: Path, sample_rate: int) -> None:
    content = clicks(sample_rate)
    for name in ("clicks.wav", "clicks.mp3"):
        soundfile.write(tmp_path / name, content, sample_rate)
    wav, _ = read_audio(tmp_path / "clicks.wav")
    mp3, info = read_audio(tmp_path / "clicks.mp3")
    assert abs(delay_s(mp3[0], wav[0], 44_100)) < 0.001
    assert mp3.shape == wav.shape
    assert (info.format, info.frames, info.warnings) == ("MP3", len(content), ())


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("level", [0.1, 0.9])
def test_mp3_in_blocks_is_decoded_as_in_one_piece(tmp_path: Path, mode: str, level: float) -> None:
    # Frames of an MP3 borrow bits from those before them, so a decoder must not be reset between blocks.
    path = tmp_path / "song.mp3"
    t = np.arange(44_100 * 6) / 44_100
    gate = np.sin(2 * np.pi * t) > 0
    content = np.stack([0.3 * np.sin(2 * np.pi * 300 * t) * gate, noise(len(t), 1)[:, 0] * gate], 1)
    write_mp3(path, content, mode, level)
    at_once, _ = soundfile.read(path, dtype="float32")
    samples, _ = read_audio(path)
    np.testing.assert_allclose(samples, at_once.T, atol=5e-6)


def test_mp3_behind_a_large_picture_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    soundfile.write(path, clicks(44_100), 44_100)
    plain, _ = read_audio(path)
    size = 300_000
    tag = b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)
    path.write_bytes(tag + path.read_bytes())
    samples, info = read_audio(path)
    np.testing.assert_array_equal(samples, plain)
    assert info.frames == 5 * 44_100


@pytest.fixture
def mp3_of_unknown_length(tmp_path: Path) -> Path:
    """Twenty seconds, the first ten loud; nothing in the file tells how long it is."""
    path = tmp_path / "radio.mp3"
    content = noise(44_100 * 20)
    content[44_100 * 10 :] = 0
    write_mp3(path, content, "VARIABLE", 0.3)
    path.write_bytes(without_first_mp3_frame(path.read_bytes()))
    return path


@pytest.mark.parametrize("with_av", [False, True])
def test_mp3_of_unknown_length_is_read_whole(
    mp3_of_unknown_length: Path, with_av: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "has_pyav", lambda: with_av)
    assert probe_audio(mp3_of_unknown_length).duration_s is None
    samples, info = read_audio(mp3_of_unknown_length)
    assert 44_100 * 20 <= samples.shape[1] < 44_100 * 20.1
    assert info.warnings == ()


@pytest.mark.usefixtures("without_av")
def test_mp3_of_unknown_length_and_constant_rate_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "radio.mp3"
    write_mp3(path, noise(44_100 * 5), "CONSTANT", 0.5)
    path.write_bytes(without_first_mp3_frame(path.read_bytes()))
    samples, info = read_audio(path)
    assert 44_100 * 5 <= samples.shape[1] < 44_100 * 5.1
    assert info.frames == samples.shape[1]
    assert info.warnings == ()


# What is wrong with the file


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sample_rate", [44_100, 48_000])
def test_the_first_sample_that_is_no_number_is_named(
    tmp_path: Path, value: float, sample_rate: int
) -> None:
    path = tmp_path / "broken.wav"
    content = noise(sample_rate * 2, 2)
    content[sample_rate * 3 // 2, 1] = value
    content[sample_rate * 7 // 4, 0] = np.nan
    soundfile.write(path, content, sample_rate, subtype="FLOAT")
    said = rf"broken\.wav: contains {value} at 1\.500000 s in channel 2\."
    with pytest.raises(AudioError, match=said):
        read_audio(path)
    with open_audio(path) as stream, pytest.raises(AudioError, match=said):
        for _ in stream.blocks(0.1):
            pass


def write_samples(path: Path, subtype: str | None = None) -> bytes:
    soundfile.write(path, noise(44_100 * 3), 44_100, subtype=subtype)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.mp3", "cut.aiff"])
def test_a_file_that_ends_early_is_read_up_to_there_with_a_warning(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    content = write_samples(path)
    whole, info = read_audio(path)
    assert info.warnings == ()
    path.write_bytes(content[: len(content) * 6 // 10])
    samples, info = read_audio(path)
    length = samples.shape[1]
    assert 44_100 * 1.4 < length < 44_100 * 1.9
    # An MP3 decoder fades out of the frame that is cut.
    compared = length - 3_000
    np.testing.assert_array_equal(samples[:, :compared], whole[:, :compared])
    assert info.frames == length
    assert info.duration_s == length / 44_100
    assert len(info.warnings) == 1
    assert str(path) in info.warnings[0]
    assert f"{length / 44_100:.2f} s" in info.warnings[0]
    if path.suffix != ".flac":
        assert "3.00 s" in info.warnings[0]


def test_an_ogg_that_ends_within_a_page_is_read_up_to_there_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "cut.ogg"
    content = write_samples(path)
    whole, info = read_audio(path)
    assert info.warnings == ()
    path.write_bytes(content[: len(content) * 6 // 10])
    samples, info = read_audio(path)
    assert 0 < samples.shape[1] < whole.shape[1]
    assert [text.partition(": ")[2] for text in info.warnings] == [
        "ends in the middle of a page, as truncated files do, and was read up to there."
    ]
    # Where a page ends, a stream may have been cut out of a longer one on purpose.
    path.write_bytes(content[: content.rindex(b"OggS")])
    assert read_audio(path)[1].warnings == ()


def test_a_wav_that_was_written_to_a_pipe_is_not_called_cut(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    content = bytearray(write_samples(path))
    start = content.index(b"data")
    content[4:8] = content[start + 4 : start + 8] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    samples, info = read_audio(path)
    assert samples.shape[1] == 44_100 * 3
    assert info.warnings == ()


@pytest.mark.usefixtures("without_av")
@pytest.mark.parametrize("name", ["cut.flac", "cut.ogg"])
def test_a_file_of_which_nothing_is_left_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(write_samples(path)[:200])
    with pytest.raises(AudioError, match=name):
        read_audio(path)


def make_empty(path: Path) -> Path:
    path.touch()
    return path


def make_text(path: Path) -> Path:
    path.write_text("This is a letter, not a song. " * 20)
    return path


def make_headerless(path: Path) -> Path:
    path.with_suffix(".raw").write_bytes(bytes(range(256)) * 10)
    return path.with_suffix(".raw")


def make_soundless(path: Path) -> Path:
    soundfile.write(path, np.zeros((0, 2)), 44_100)
    return path


@pytest.mark.usefixtures("without_av")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path, "does not exist"),
        (lambda path: path.parent, "is a folder"),
        (make_empty, "is empty"),
        (make_text, r"is not audio that libsndfile .* can read.*pip install .+\[av\]"),
        (make_headerless, "is not audio"),
        (make_soundless, "contains no samples"),
    ],
)
def test_what_is_no_audio_is_named_with_a_remedy(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    path = make(tmp_path / "thing.wav")
    with pytest.raises(AudioError, match=said) as caught:
        read_audio(path)
    assert caught.value.path == str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="not a regular file"):
        probe_audio(tmp_path / "pipe.wav")


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret.wav"
    write_samples(path)

    def refuse(self: Path, *args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # The superuser, who runs tests in containers, may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"secret\.wav: may not be read by this user\. Change"):
        probe_audio(path)


@given(
    content=st.binary(min_size=1, max_size=300),
    head=st.sampled_from([b"", b"RIFF", b"ID3", b"fLaC", b"OggS", b"\xff\xfb"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_content_causes_any_other_error(tmp_path: Path, content: bytes, head: bytes) -> None:
    path = tmp_path / "any.bin"
    path.write_bytes(head + content)
    with suppress(AudioError):
        samples, _ = read_audio(path)
        assert samples.shape[1] > 0


def test_probing_reads_the_header_only(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, noise(48_000), 48_000, subtype="PCM_24")
    info = probe_audio(path)
    assert (info.path, info.sample_rate, info.channels, info.frames) == (path, 48_000, 2, 48_000)
    assert (info.format, info.subtype, info.duration_s) == ("FLAC", "PCM_24", 1.0)
    assert info.decoder.startswith("libsndfile 1.")


# What only FFmpeg reads


def encode(path: Path, codec: str, content: np.ndarray, sample_rate: int) -> None:
    av = pytest.importorskip("av", reason="needs the extra allin1-core[av]")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(content.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts = sample_rate, 0
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout="stereo",
            rate=sample_rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))


@pytest.mark.parametrize(("name", "codec"), [("song.m4a", "aac"), ("song.mp4", "alac")])
@pytest.mark.parametrize("sample_rate", [44_100, 48_000])
def test_m4a_starts_when_the_wav_does(
    tmp_path: Path, name: str, codec: str, sample_rate: int
) -> None:
    content = clicks(sample_rate)
    encode(tmp_path / name, codec, content, sample_rate)
    soundfile.write(tmp_path / "song.wav", content, sample_rate)
    wav, _ = read_audio(tmp_path / "song.wav")
    samples, info = read_audio(tmp_path / name)
    assert abs(delay_s(samples[0], wav[0], 44_100)) < 0.001
    assert info.decoder.startswith("PyAV ")
    assert info.subtype == codec
    assert info.warnings == ()
    assert probe_audio(tmp_path / name).duration_s == pytest.approx(5.0, abs=0.05)
    if codec == "alac":
        np.testing.assert_allclose(samples, wav, atol=1e-4)


def test_a_film_without_sound_and_a_text_are_refused_by_ffmpeg_too(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra allin1-core[av]")
    with pytest.raises(AudioError, match="is not audio that libsndfile or FFmpeg can read"):
        probe_audio(make_text(tmp_path / "letter.wav"))
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"film\.mp4: has no audio stream"):
        probe_audio(tmp_path / "film.mp4")


@pytest.mark.parametrize("rate", [44_100, 22_050])
def test_a_constant_is_as_silent_as_silence(tmp_path, rate):
    path = tmp_path / "constant.wav"
    constant = np.full((rate // 10, 2), 0.5)
    soundfile.write(path, constant, rate)
    assert "is silent" in read_audio(path)[1].warnings[0]
    constant[::50] = [0.4, 0.5]
    soundfile.write(path, constant, rate)
    assert read_audio(path)[1].warnings == ()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
@pytest.mark.parametrize(
    ("suffix", "share"), [(".mp3", 0.25), (".wav", 0.25), (".flac", 0.25), (".ogg", 0.9)]
)
def test_a_file_read_from_memory_has_the_same_samples_and_calls_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, share: float
) -> None:
    path = tmp_path / f"song{suffix}"
    soundfile.write(path, noise(200_000), 44_100)
    calls: list[int] = []
    readinto = source.Spliced.readinto
    opened = sorted(Path("/proc/self/fd").iterdir())

    def counted(self: source.Spliced, buffer: bytearray) -> int:
        calls.append(len(buffer))
        return readinto(self, buffer)

    monkeypatch.setattr(source.Spliced, "readinto", counted)
    found, info = read_audio(path)
    assert sorted(Path("/proc/self/fd").iterdir()) == opened
    while_decoding = [size for size in calls if size < source.STEP]
    calls.clear()
    monkeypatch.setattr(source, "MOST_IN_MEMORY", 1000)
    expected, expected_info = read_audio(path)
    np.testing.assert_array_equal(found, expected)
    assert info == expected_info
    # Only what is needed to open the file is read by calls; in Ogg, that is more than a header.
    assert len(while_decoding) < share * len(calls)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
def test_a_file_that_does_not_fit_into_memory_is_read_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(200_000), 44_100)
    expected, _ = read_audio(path)

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[: len(data) // 2])

    monkeypatch.setattr(source.os, "fdopen", lambda number, *_, **__: Full(number, "w+"))
    found, _ = read_audio(path)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_a_disk_that_fails_while_a_song_is_decoded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_in_memory: bool
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(200_000), 44_100)
    monkeypatch.setattr(source, "MOST_IN_MEMORY", (1 << 20) * is_in_memory)
    read_at = source.Source.read_at

    def failing(self: source.Source, offset: int, size: int) -> bytes:
        if offset < 300_000:
            return read_at(self, offset, size)
        self.error = OSError(5, "Input/output error")
        return b""

    monkeypatch.setattr(source.Source, "read_at", failing)
    with pytest.raises(AudioError, match="Input/output error"):
        read_audio(path)
