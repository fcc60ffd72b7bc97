"""Audio loaders of plugins: selection by name or content, precedence over the core's readers, and failures."""

from __future__ import annotations

import sys
import wave
from types import ModuleType

import numpy as np
import pytest

from allin1_core.contracts.audio_loader import AudioLoader, LoadedAudio
from allin1_core.contracts.backend import Needs
from allin1_core.errors import AudioError
from allin1_core.io.audio import probe_audio, read_audio
from allin1_core.io.decoding.loaders import use_loaders
from allin1_core.io.fingerprint import fingerprint
from allin1_core.io.inputs import find_songs
from allin1_core.io.stems import find_stems
from allin1_core.plugins.collecting import collect_loaders, collect_offers
from allin1_core.runtime.audio_loaders import use_audio_loaders
from allin1_core.runtime.session import Session
from allin1_core.testing.models import RANDOM_MODEL, model_plugin

RATE = 22_050


def load(file, path):
    """Reads a made-up format: a magic word, and float32 samples in one channel."""
    if file.read(4) != b"TOY1":
        return None
    size = path.stat().st_size - 4

    def blocks():
        while content := file.read(4 * 1000):
            yield np.frombuffer(content, np.float32)[:, None]

    return LoadedAudio(blocks(), RATE, 1, frames=size // 4, format="TOY")


LOADER = AudioLoader("toy", "toy_loader:load", suffixes=(".toy",))


@pytest.fixture(autouse=True)
def _no_loaders_afterwards():
    yield
    use_loaders(())


@pytest.fixture
def toy(monkeypatch):
    module = ModuleType("toy_loader")
    module.load = load
    module.is_toy = lambda head: head.startswith(b"TOY1")
    monkeypatch.setitem(sys.modules, "toy_loader", module)
    return module


@pytest.fixture
def use(isolated_plugins, make_plugin, toy):
    def use(*records: AudioLoader):
        plugins = isolated_plugins(toys=make_plugin(allin1_audio_loaders=lambda: records))
        problems = []
        use_audio_loaders(collect_loaders(plugins, problems))
        return [str(problem) for problem in problems]

    return use


def write_toy(path, seconds=2.0, cut=0):
    tone = 0.5 * np.sin(np.arange(int(seconds * RATE)) * 0.1)
    content = b"TOY1" + tone.astype(np.float32).tobytes()
    path.write_bytes(content[: len(content) - cut])
    return path


def test_a_file_is_read_by_the_loader_of_its_suffix(use, tmp_path) -> None:
    assert not use(LOADER)
    samples, info = read_audio(write_toy(tmp_path / "song.TOY"))
    assert samples.shape == (2, 88_200)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)
    assert (info.format, info.sample_rate, info.duration_s) == ("TOY", RATE, 2.0)
    assert info.decoder == "toys/toy"
    assert probe_audio(tmp_path / "song.TOY").frames == 2 * RATE


def test_a_probe_finds_files_by_their_content(use, tmp_path) -> None:
    path = write_toy(tmp_path / "song")
    use(LOADER)
    with pytest.raises(AudioError, match="is not audio that"):
        read_audio(path)
    use(AudioLoader("toy", "toy_loader:load", probe="toy_loader:is_toy"))
    assert read_audio(path)[1].format == "TOY"


def test_folders_and_stems_are_searched_for_what_loaders_read(use, tmp_path) -> None:
    for name in ("bass", "drums", "other", "vocals"):
        write_toy(tmp_path / f"{name}.toy")
    use(LOADER)
    assert find_songs([tmp_path]).songs[0].name == "bass.toy"
    assert find_stems(tmp_path).bass.name == "bass.toy"


@pytest.mark.parametrize("before", [True, False])
def test_a_loader_takes_precedence_over_the_readers_of_the_core_only_if_it_declares_that(
    use, toy, tmp_path, before
) -> None:
    path = tmp_path / "song.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
        file.writeframes(np.ones(4410, np.int16).tobytes())
    toy.load = lambda file, path: LoadedAudio([np.zeros((10, 1), np.float32)], 8000, 1)
    use(AudioLoader("toy", "toy_loader:load", suffixes=(".wav",), before_core=before))
    assert read_audio(path)[1].sample_rate == (8000 if before else 44_100)
    # One that declines leaves the file to the core.
    toy.load = lambda file, path: None
    assert read_audio(path)[1].sample_rate == 44_100


def test_a_loader_that_fails_before_the_core_costs_a_warning(use, toy, tmp_path, caplog) -> None:
    path = tmp_path / "song.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
        file.writeframes(np.ones(4410, np.int16).tobytes())
    toy.load = lambda file, path: 1 / 0
    use(AudioLoader("toy", "toy_loader:load", suffixes=(".wav",), before_core=True))
    assert read_audio(path)[0].shape == (2, 4410)
    assert "The audio loader toy of plugin toys failed: ZeroDivisionError" in caplog.text


def test_a_probe_that_raises_costs_a_warning(use, toy, tmp_path, caplog) -> None:
    toy.is_toy = lambda head: 1 / 0
    use(AudioLoader("toy", "toy_loader:load", probe="toy_loader:is_toy"))
    with pytest.raises(AudioError, match="is not audio that"):
        read_audio(write_toy(tmp_path / "song"))
    assert "could not probe" in caplog.text


def _broken():
    yield np.zeros((RATE, 1), np.float32)
    raise OSError("the tape is torn")


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda f, p: 1 / 0, "plugin toys failed: ZeroDivisionError.* Report this to the author"),
        (lambda f, p: "song", "it returned 'song' instead of LoadedAudio or None"),
        (lambda f, p: LoadedAudio([], "8000", 1), "its rate is '8000' instead of an integer"),
        (lambda f, p: LoadedAudio([], 8000, 1, 1.5), "its frames are 1.5 instead of an integer"),
        (lambda f, p: LoadedAudio([], 8000, 99), "it has 99 channels; 1 to 64 are supported"),
        (lambda f, p: LoadedAudio([], 8000, 1), "contains no samples"),
        (
            lambda f, p: LoadedAudio([np.zeros((5, 2), "f")], 8000, 1),
            r"shape \[5, 2\] instead of \[n",
        ),
        (lambda f, p: LoadedAudio([np.zeros((5, 1))], 8000, 1), "instead of float32 NumPy arrays"),
        (
            lambda f, p: LoadedAudio([np.full((5, 1), np.nan, "f")], 8000, 1),
            "contains nan at 0.0000",
        ),
        (lambda f, p: LoadedAudio(None, 8000, 1), "failed: TypeError"),
    ],
)
def test_what_a_loader_gives_is_checked(use, toy, tmp_path, give, message) -> None:
    toy.load = give
    use(LOADER)
    with pytest.raises(AudioError, match=message):
        read_audio(write_toy(tmp_path / "song.toy"))


def test_damage_that_a_loader_tells_of_reaches_the_user(use, toy, tmp_path) -> None:
    def damaged(file, path):
        raise AudioError("has a scratch.", path=path)

    toy.load = damaged
    use(LOADER)
    with pytest.raises(AudioError, match="song.toy: has a scratch"):
        read_audio(write_toy(tmp_path / "song.toy"))


def test_a_loader_that_fails_in_the_middle_leaves_what_it_gave(use, toy, tmp_path) -> None:
    toy.load = lambda f, p: LoadedAudio(_broken(), RATE, 1)
    use(LOADER)
    samples, info = read_audio(write_toy(tmp_path / "song.toy"))
    assert samples.shape == (2, 44_100)
    assert "damaged after 1.00 s" in info.warnings[0]
    assert "OSError: the tape is torn" in info.warnings[0]


def test_a_file_that_ends_early_is_reported(use, toy, tmp_path) -> None:
    toy.load = lambda f, p: LoadedAudio([np.ones((RATE, 1), "f")], RATE, 1, frames=2 * RATE)
    use(LOADER)
    _, info = read_audio(write_toy(tmp_path / "song.toy"))
    assert "ends after 1.00 s, although its header states 2.00 s" in info.warnings[0]


def test_the_file_and_the_generator_are_closed_when_reading_ends_early(use, toy, tmp_path) -> None:
    from allin1_core.io.audio import open_audio

    files, closed = [], []

    def give(file, path):
        files.append(file)

        def blocks():
            try:
                while True:
                    yield np.zeros((RATE, 1), np.float32)
            finally:
                closed.append(True)

        return LoadedAudio(blocks(), RATE, 1)

    toy.load = give
    use(LOADER)
    with open_audio(write_toy(tmp_path / "song.toy")) as stream:
        next(iter(stream.blocks(1.0)))
    assert closed == [True]
    assert files[0].closed


def test_a_loader_without_what_it_needs_is_not_used(use, tmp_path) -> None:
    use(AudioLoader("toy", "toy_loader:load", (".toy",), needs=Needs(("no-such-library",))))
    with pytest.raises(AudioError, match="is not audio that"):
        read_audio(write_toy(tmp_path / "song.toy"))


def test_a_loader_for_no_file_is_left_out_with_the_reason(use) -> None:
    assert use(AudioLoader("toy", "toy_loader:load")) == [
        "Plugin toys, hook allin1_audio_loaders: AudioLoader toy has neither suffixes nor a probe;"
        " wanted one of them."
    ]


def test_a_song_is_analysed_through_a_loader_and_known_by_its_content(
    toy, isolated_plugins, make_plugin, model_folder, separator, backend_plugin, tmp_path
) -> None:
    folder, card = model_folder
    plugins = isolated_plugins(
        model=model_plugin(card),
        toys=make_plugin(allin1_audio_loaders=lambda: [LOADER]),
        separate=backend_plugin("demix", splitting=separator),
    )
    assert not collect_offers(plugins).problems
    song = write_toy(tmp_path / "song.toy", 6.0)
    with Session(RANDOM_MODEL, plugins=plugins, weights_dir=str(folder)) as session:
        result = session.analyze(song)
    (file,) = result.provenance.input["files"]
    assert (file["format"], file["decoder"]) == ("TOY", "toys/toy")
    assert result.provenance.identity.audio == fingerprint(song).content
    # A session without the plugin cannot read it.
    plain = isolated_plugins(model=model_plugin(card))
    with Session(RANDOM_MODEL, plugins=plain, weights_dir=str(folder)) as session:
        with pytest.raises(AudioError):
            session.analyze(song)
