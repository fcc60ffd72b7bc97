from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import AudioError, StemsError
from allin1_core.io import audio
from allin1_core.io.inputs import AUDIO_SUFFIXES
from allin1_core.io.stems import StemFiles, find_stems, read_stems, stem_blocks


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def write_stems(
    folder: Path,
    counts: tuple[int, int, int, int] = (4_410,) * 4,
    channels: tuple[int, int, int, int] = (1,) * 4,
    rates: tuple[int, int, int, int] = (44_100,) * 4,
    *,
    extension: str = "wav",
    subtype: str = "FLOAT",
) -> StemFiles:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, count, width, rate in zip(STEMS, counts, channels, rates, strict=True):
        samples = 0.1 * rng.standard_normal((count, width))
        soundfile.write(folder / f"{name}.{extension}", samples, rate, subtype=subtype)
    return find_stems(folder)


def test_a_name_that_no_folder_can_have_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="is not a valid name of a folder"):
        find_stems(tmp_path / "ste\0ms")
    lost = tmp_path / "ste\0ms" / "song.wav"
    files = StemFiles(bass=lost, drums=lost, other=lost, vocals=lost)
    assert files.name == "ste\0ms"
    with pytest.raises(AudioError, match="is not a valid name of a file"):
        read_stems(files)


def collect(files: StemFiles, frames: int) -> tuple[list[np.ndarray], Any]:
    """All blocks, and what the generator returns at its end."""
    ending = None

    def source() -> Any:
        nonlocal ending
        ending = yield from stem_blocks(files, frames)

    return list(source()), ending


# Six stems


def write_six(folder: Path, *, guitar: int = 4_410) -> tuple[StemFiles, np.ndarray]:
    files = write_stems(folder, channels=(2,) * 4)
    rng = np.random.default_rng(1)
    other, _ = soundfile.read(files.other, dtype="float32")
    for name, count in (("Guitar", guitar), ("piano", 4_410)):
        part = (0.1 * rng.standard_normal((count, 2))).astype(np.float32)
        soundfile.write(folder / f"{name}.wav", part, 44_100, subtype="FLOAT")
        other[:count] += part[: len(other)]
    return find_stems(folder), other.T


@pytest.mark.parametrize("guitar", [4_410, 4_000])
def test_guitar_and_piano_are_added_to_other_with_a_warning(tmp_path: Path, guitar: int) -> None:
    four, _, _ = read_stems(write_stems(tmp_path / "six", channels=(2,) * 4))
    files, other = write_six(tmp_path / "six", guitar=guitar)
    stems, infos, warnings = read_stems(files)
    assert [info.path.stem.lower() for info in infos] == [*STEMS, "guitar", "piano"]
    np.testing.assert_allclose(stems.samples[2], other, atol=1e-7)
    for index in (0, 1, 3):
        np.testing.assert_array_equal(stems.samples[index], four.samples[index])
    assert "guitar and piano were added to other" in warnings[-1]
    filled = [one for one in warnings if "filled with silence" in one]
    assert len(filled) == (guitar < 4_410)
    assert all("guitar were filled" in one for one in filled)
    blocks, (_, warned) = collect(files, 3)
    np.testing.assert_allclose(np.concatenate(blocks, axis=-1), stems.samples, atol=1e-7)
    assert warned == warnings


def test_a_guitar_of_another_song_is_refused_by_name(tmp_path: Path) -> None:
    files, _ = write_six(tmp_path / "six", guitar=44_100)
    with pytest.raises(StemsError, match=r"guitar 1\.000 s"):
        read_stems(files)


def test_two_guitars_are_an_error_that_names_both(tmp_path: Path) -> None:
    write_six(tmp_path / "six")
    touch(tmp_path / "six", "guitar.mp3")
    with pytest.raises(StemsError, match="more than one file for guitar"):
        find_stems(tmp_path / "six")


# Finding


def test_stems_are_found_by_name_whatever_the_case_and_extension(tmp_path: Path) -> None:
    folder = touch(tmp_path / "My Song", "Bass.FLAC", "drums.wav", "OTHER.mp3", "vocals.Ogg")
    touch(folder, "cover.jpg", "bass.txt", "drums.mid", "mix.wav", "pianos.wav", ".DS_Store")
    files = find_stems(folder)
    assert files == StemFiles(
        folder / "Bass.FLAC", folder / "drums.wav", folder / "OTHER.mp3", folder / "vocals.Ogg"
    )
    assert files.paths == (files.bass, files.drums, files.other, files.vocals)
    assert files.source == folder
    assert files.name == "My Song"


@pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES))
def test_stems_may_have_every_suffix_that_songs_in_a_folder_may_have(
    tmp_path: Path, suffix: str
) -> None:
    files = find_stems(touch(tmp_path / "song", *(f"{name}{suffix}" for name in STEMS)))
    assert [path.suffix for path in files.paths] == [suffix] * len(STEMS)


def test_the_name_is_that_of_the_folder_even_when_it_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = touch(tmp_path / "song", *(f"{name}.wav" for name in STEMS))
    monkeypatch.chdir(folder)
    assert find_stems(".").name == "song"


def test_stems_of_several_folders_belong_to_the_one_above(tmp_path: Path) -> None:
    paths = [tmp_path / "song" / name / "audio.wav" for name in STEMS]
    assert StemFiles(*paths).source == tmp_path / "song"


def test_a_longer_name_never_matches(tmp_path: Path) -> None:
    folder = touch(
        tmp_path, "song2_bass.wav", "bass_drum.wav", "drums.wav", "other.wav", "vocals.wav"
    )
    with pytest.raises(StemsError) as caught:
        find_stems(folder)
    assert caught.value.message == (
        "has no bass. Its audio files are:"
        " bass_drum.wav, drums.wav, other.wav, song2_bass.wav, vocals.wav."
    )
    assert caught.value.path == str(folder)


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "drums.wav", "notes.txt")
    with pytest.raises(
        StemsError, match=r"no bass and no other and no vocals\. Its audio files are: drums\.wav\."
    ):
        find_stems(tmp_path)
    with pytest.raises(StemsError, match=r"Its audio files are: none\."):
        find_stems(touch(tmp_path / "empty"))


def test_two_files_for_one_stem_are_an_error_that_names_both(tmp_path: Path) -> None:
    touch(tmp_path, "bass.wav", "bass.flac", "drums.wav", "other.wav", "vocals.wav")
    with pytest.raises(StemsError, match=r"more than one file for bass: bass\.flac, bass\.wav"):
        find_stems(tmp_path)


@pytest.mark.parametrize(("name", "said"), [("nowhere", "does not exist"), ("file", "is a file")])
def test_what_is_no_folder_is_an_error(tmp_path: Path, name: str, said: str) -> None:
    touch(tmp_path, "file")
    with pytest.raises(StemsError, match=said):
        find_stems(tmp_path / name)


# Reading


def test_stems_come_in_the_order_of_the_network(tmp_path: Path) -> None:
    for level, name in enumerate(STEMS, start=1):
        samples = np.tile([level / 8, -level / 8], 50)
        soundfile.write(tmp_path / f"{name}.wav", samples, 44_100, subtype="FLOAT")
    stems, infos, warnings = read_stems(find_stems(tmp_path))
    np.testing.assert_array_equal(stems.validate().samples[:, 0, 0], [0.125, 0.25, 0.375, 0.5])
    assert [info.path.stem for info in infos] == list(STEMS)
    assert warnings == []


@pytest.mark.parametrize(
    ("channels", "expected"), [((1, 1, 1, 1), 1), ((1, 2, 1, 1), 2), ((6, 1, 2, 1), 2)]
)
def test_one_channel_only_if_all_are_mono(
    tmp_path: Path, channels: tuple[int, int, int, int], expected: int
) -> None:
    files = write_stems(tmp_path, channels=channels)
    samples = read_stems(files)[0].samples
    assert samples.shape == (4, expected, 4_410)
    for stem, count in zip(samples, channels, strict=True):
        if count == 1:
            np.testing.assert_array_equal(stem[0], stem[-1])


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff"])
def test_16_bit_stems_are_divided_by_32767_and_mixes_are_not(
    tmp_path: Path, extension: str
) -> None:
    codes = np.array([-32_768, -1, 0, 1, 12_345, 32_767] * 20, np.int16)
    for name in STEMS:
        soundfile.write(tmp_path / f"{name}.{extension}", codes, 44_100, subtype="PCM_16")
    files = find_stems(tmp_path)
    expected = codes.astype(np.float32) / np.float32(32_767)
    np.testing.assert_array_equal(read_stems(files)[0].samples[2, 0], expected)
    np.testing.assert_array_equal(collect(files, 1)[0][0][2, 0], expected)
    mix, _ = audio.read_audio(files.other)
    np.testing.assert_array_equal(mix[0], codes.astype(np.float32) / np.float32(32_768))


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT"])
def test_other_stems_keep_their_full_scale(tmp_path: Path, subtype: str) -> None:
    for name in STEMS:
        soundfile.write(tmp_path / f"{name}.wav", np.full(64, -0.5), 44_100, subtype=subtype)
    samples = read_stems(find_stems(tmp_path))[0].samples
    np.testing.assert_array_equal(samples, np.full((4, 1, 64), -0.5))


def test_stems_of_different_rates_fit_together_after_resampling(tmp_path: Path) -> None:
    rates = (44_100, 48_000, 22_050, 96_000)
    for name, rate in zip(STEMS, rates, strict=True):
        t = np.arange(rate) / rate
        soundfile.write(
            tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * 440 * t), rate, subtype="PCM_24"
        )
    stems, _, warnings = read_stems(find_stems(tmp_path))
    assert stems.samples.shape == (4, 1, 44_100)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    np.testing.assert_allclose(
        stems.samples[:, 0, 2_000:-2_000], np.tile(expected[2_000:-2_000], (4, 1)), atol=2e-6
    )
    assert warnings == []


def test_stems_within_50_ms_are_filled_with_silence_and_named(tmp_path: Path) -> None:
    files = write_stems(tmp_path, (44_100, 44_100 - 2_205, 44_100, 44_099))
    stems, _, warnings = read_stems(files)
    assert stems.samples.shape == (4, 1, 44_100)
    assert not stems.samples[1, 0, -2_205:].any()
    assert stems.samples[1, 0, -2_206] != 0
    assert stems.samples[3, 0, -1] == 0
    assert len(warnings) == 1
    assert "drums and vocals were filled with silence" in warnings[0]
    assert "bass 1.000 s, drums 0.950 s" in warnings[0]


def test_stems_that_differ_by_more_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_stems(tmp_path, (44_100, 44_100 - 2_206, 44_100, 88_200))

    def never(*args: Any) -> None:
        pytest.fail("no audio needs to be read")

    monkeypatch.setattr(audio.AudioStream, "blocks", never)
    said = "bass 1.000 s, drums 0.950 s, other 1.000 s, vocals 2.000 s"
    with pytest.raises(StemsError, match=said):
        read_stems(files)
    with pytest.raises(StemsError, match=said):
        next(stem_blocks(files, 100))


def test_a_stem_that_is_cut_is_found_out_while_reading(tmp_path: Path) -> None:
    files = write_stems(tmp_path, (88_200,) * 4, extension="flac", subtype="PCM_16")
    content = files.other.read_bytes()
    files.other.write_bytes(content[: len(content) // 2])
    with pytest.raises(StemsError, match="differ in length by more than 50 ms"):
        read_stems(files)
    with pytest.raises(StemsError, match="differ in length by more than 50 ms"):
        collect(files, 10)


def test_warnings_of_the_files_are_passed_on(tmp_path: Path) -> None:
    files = write_stems(tmp_path, (88_200,) * 4)
    for path in files.paths:
        path.write_bytes(path.read_bytes()[: 88_200 * 2])
    _, infos, warnings = read_stems(files)
    assert warnings == [warning for info in infos for warning in info.warnings]
    assert len(warnings) == 4
    assert collect(files, 10)[1] == (infos, warnings)


def test_a_stem_with_nan_names_its_file(tmp_path: Path) -> None:
    files = write_stems(tmp_path)
    samples = np.zeros(4_410)
    samples[441] = np.nan
    soundfile.write(files.vocals, samples, 44_100, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"vocals\.wav: contains nan at 0\.010000 s in channel 1"):
        read_stems(files)


@given(
    base=st.integers(1, 6_000),
    shorter=st.tuples(*[st.integers(0, 2_000)] * 4),
    frames=st.integers(1, 12),
    channels=st.tuples(*[st.integers(1, 2)] * 4),
    rates=st.tuples(*[st.sampled_from([44_100, 44_100, 48_000])] * 4),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_blocks_put_together_are_the_stems(
    tmp_path: Path,
    base: int,
    shorter: tuple[int, int, int, int],
    frames: int,
    channels: Any,
    rates: Any,
) -> None:
    counts: Any = tuple(
        round((base + 2_000 - less) * rate / 44_100)
        for less, rate in zip(shorter, rates, strict=True)
    )
    files = write_stems(tmp_path, counts, channels, rates)
    stems, infos, warnings = read_stems(files)
    blocks, ending = collect(files, frames)
    assert all(block.shape[2] == frames * 441 for block in blocks[:-1])
    assert 0 < blocks[-1].shape[2] <= frames * 441
    np.testing.assert_array_equal(np.concatenate(blocks, axis=2), stems.samples)
    assert ending == (infos, warnings)


def test_leaving_early_closes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_stems(tmp_path, (44_100,) * 4)
    opened: list[soundfile.SoundFile] = []
    plain = soundfile.SoundFile

    def remember(*args: Any, **options: Any) -> soundfile.SoundFile:
        opened.append(plain(*args, **options))
        return opened[-1]

    monkeypatch.setattr(soundfile, "SoundFile", remember)
    source = stem_blocks(files, 1)
    next(source)
    assert sum(not file.closed for file in opened) == 4
    source.close()
    assert all(file.closed for file in opened)


def test_16_bit_stems_give_the_spectrogram_of_the_original(
    shared_dir: Path, golden: Callable[[str], Any]
) -> None:
    # Of madmom 0.17.dev0 on the same files, as golden/ has it.
    from allin1_core.reference import spectrogram

    expected = golden("francium_excerpt.npz")["spec_first_3000_frames"]
    files = find_stems(shared_dir / "music" / "francium")
    first = next(stem_blocks(files, 1_000))
    frames = spectrogram.create(Setup())(Stems(first), Task()).frames
    # The last two frames also see what follows the block.
    assert np.abs(frames[:, :998] - expected[:, :998]).max() <= 1e-6
