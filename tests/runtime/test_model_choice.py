"""The model that analyses a track if none was named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.model import AUTO_MODELS, SeparatorCard, WeightsFile
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.errors import SelectionError, WeightsError
from allin1_core.io.stems import StemFiles
from allin1_core.reference import metrical_dbn
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.weights.catalogue import catalogue

CARDS = {card.name: card for card in catalogue()}


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def weights_dir(tmp_path):
    """A folder with files of the right names; the choice reads none of them."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in CARDS["harmonix-all"].files:
        (folder / file.name).touch()
    return folder


@pytest.fixture
def open_session(isolated_plugins):
    """Open a session with these plugins besides the core's own."""

    def make(model=None, plugins=None, **options):
        return Session(model, plugins=isolated_plugins(**(plugins or {})), **options)

    return make


@pytest.fixture
def splitting(backend_plugin, separator):
    """A plugin that separates, without weights."""
    return {"splitting": backend_plugin("demix", splitter=separator)}


def test_the_models_that_may_be_chosen_exist_and_the_last_comes_with_the_package():
    assert set(AUTO_MODELS) <= CARDS.keys()
    assert all(file.package for file in CARDS[AUTO_MODELS[-1]].files)


@pytest.mark.parametrize("model", [None, "auto"])
def test_without_weights_it_is_the_one_that_comes_with_the_package(open_session, model):
    session = open_session(model)
    for start in (Mix, StemFiles):
        choice = session.choose_model(start)
        assert choice.card.name == "builtin"
        assert "weights of harmonix-all" in choice.reason
        assert "allin1 weights fetch harmonix-all" in choice.other


def test_stems_and_weights_choose_the_better_one(open_session, weights_dir):
    choice = open_session(weights_dir=weights_dir).choose_model(StemFiles)
    assert choice.card.name == "harmonix-all"
    assert "stems were given" in choice.reason
    assert "-m builtin" in choice.other


def test_a_song_needs_what_separates_it(open_session, weights_dir, splitting):
    choice = open_session(weights_dir=weights_dir).choose_model(Mix)
    assert choice.card.name == "builtin"
    assert "separates songs is installed" in choice.reason
    assert "[demucs]" in choice.other
    assert "weights fetch htdemucs" in choice.other
    choice = open_session(weights_dir=weights_dir, plugins=splitting).choose_model(Mix)
    assert choice.card.name == "harmonix-all"
    assert "separated here" in choice.reason


def test_a_separator_without_its_weights_does_not_count(
    open_session, weights_dir, make_plugin, backend_plugin, separator
):
    (backend,) = backend_plugin("demix", splitter=separator).allin1_demix()
    file = WeightsFile("small.th", "", 0)
    plugin = make_plugin(
        allin1_demix=lambda: [replace(backend, separators=("small",))],
        allin1_separators=lambda: [SeparatorCard("small", "Small", (file,), "MIT", "here")],
    )
    options = {"weights_dir": weights_dir, "plugins": {"demucs": plugin}}
    # As the parameters are not the usual ones, a separation is asked for.
    with pytest.raises(WeightsError, match=r"weights of small .*allin1 weights fetch small"):
        open_session(demix=DemixParameters("small"), **options).choose_model(Mix)
    (weights_dir / "small.th").touch()
    session = open_session(demix=DemixParameters("small"), **options)
    assert session.choose_model(Mix).card.name == "harmonix-all"


@pytest.mark.parametrize(
    "options",
    [
        {"keep_stems": True},
        {"backends": {"demix": "splitter"}},
        {"demix": DemixParameters(shifts=2)},
    ],
)
def test_asking_for_a_separation_asks_for_the_model_that_takes_stems(
    open_session, weights_dir, splitting, options
):
    with pytest.raises(WeightsError, match=r"Separation was requested.*fetch harmonix-all"):
        open_session(plugins=splitting, **options).choose_model(Mix)
    session = open_session(plugins=splitting, weights_dir=weights_dir, **options)
    assert "Separation was requested" in session.choose_model(Mix).reason
    # With stems there is nothing to separate.
    assert open_session(plugins=splitting, **options).choose_model(StemFiles).card.name == "builtin"


def test_a_backend_that_suits_one_model_decides(open_session, weights_dir, make_plugin):
    def no_prior():
        return [Backend("plain", "metrical_dbn", f"{metrical_dbn.__name__}:create")]

    options = {
        "plugins": {"plain": make_plugin(allin1_metrical_dbn=no_prior)},
        "backends": {"metrical_dbn": "plain"},
    }
    with pytest.raises(WeightsError, match=r"builtin cannot be used.*plain.*leaves harmonix-all"):
        open_session(**options).choose_model(StemFiles)
    # It is not asked about beats.
    choice = open_session(**options).choose_model(StemFiles, outputs=("sections",))
    assert choice.card.name == "builtin"
    session = open_session(weights_dir=weights_dir, **options)
    assert session.choose_model(StemFiles).card.name == "harmonix-all"
    assert (
        open_session(weights_dir=weights_dir, backends={"spectrogram": "reference-mix"})
        .choose_model(StemFiles)
        .card.name
        == "builtin"
    )


def test_what_no_model_can_is_the_error_of_the_run(open_session):
    session = open_session(device="npu")
    with pytest.raises(SelectionError, match="npu"):
        session.explain(Mix)


def test_a_named_model_is_obeyed_and_may_download(open_session, weights_dir):
    session = open_session("harmonix-fold0", weights_dir=weights_dir)
    choice = session.choose_model(Mix)
    assert (choice.card.name, str(choice)) == ("harmonix-fold0", "")
    assert choice.engine.backends.may_download
    for start in (Mix, StemFiles):
        chosen = open_session(weights_dir=weights_dir).choose_model(start)
        assert not chosen.engine.backends.may_download


def test_a_run_that_starts_after_the_audio_uses_the_better_model_and_downloads_nothing(
    open_session,
):
    session = open_session()
    assert session.choose_model(Logits).card.name == "harmonix-all"
    spectrogram = LogSpectrogram(np.zeros((4, 100, 81), np.float32))
    with pytest.raises(WeightsError, match=r"disabled.*allin1 weights fetch harmonix-all"):
        session.run(spectrogram)


def test_the_result_says_which_and_stays_up_to_date_when_the_other_could_be_chosen(
    open_session, write_song, weights_dir, splitting, tmp_path
):
    track, out = Track("song", write_song(seconds=3.0)), tmp_path / "out"
    with open_session() as session:
        (outcome,) = run_batch(session, [track], out_dir=out)
    provenance = outcome.result.provenance
    assert provenance.model == "builtin"
    assert "harmonix-all is not used" in provenance.model_reason
    with open_session(weights_dir=weights_dir, plugins=splitting) as session:
        assert session.choose_model(track).card.name == "harmonix-all"
        (outcome,) = run_batch(session, [track], out_dir=out)
    assert outcome.status == "skipped"
    with open_session("builtin") as session:
        (outcome,) = run_batch(session, [track], out_dir=out, overwrite=True)
    assert outcome.result.provenance.model_reason == ""


def test_the_session_of_a_configured_model_is_of_that(open_session, tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text('model = "harmonix-fold1"')
    monkeypatch.setenv("ALLIN1_CONFIG", str(path))
    assert open_session().card.name == "harmonix-fold1"
    assert open_session("auto").card.name == "builtin"


class Failing:
    """A separator that fails in the middle of a song."""

    def __init__(self, setup):
        pass

    def __call__(self, mix, task):
        task.progress(0.5)
        raise RuntimeError("the device was lost")


class TooSmall(Failing):
    """A separator that has too little memory for the song."""

    def __call__(self, mix, task):
        raise MemoryError("no memory")


@pytest.fixture
def songs(tmp_path):
    paths = [tmp_path / "one.wav", tmp_path / "two.wav"]
    for seed, path in enumerate(paths):
        noise = np.random.default_rng(seed).normal(0, 0.1, (3 * 44100, 2))
        soundfile.write(path, noise, 44100)
    return make_tracks(paths)


@pytest.mark.parametrize("separator", [Failing, TooSmall])
def test_a_song_that_can_no_longer_be_separated_is_analysed_by_the_other_model(
    open_session, weights_dir, backend_plugin, songs, tmp_path, separator
):
    plugins = {"splitting": backend_plugin("demix", splitter=separator)}
    with open_session(weights_dir=weights_dir, plugins=plugins) as session:
        assert session.choose_model(songs[0]).card.name == "harmonix-all"
        first, second = run_batch(session, songs, out_dir=tmp_path / "out")
    with open_session("builtin") as session:
        expected = session.analyze(songs[0])
    provenance = first.result.provenance
    assert first.result.beats == expected.beats
    assert first.result.segments == expected.segments
    assert provenance.model == "builtin"
    assert provenance.identity == expected.provenance.identity
    assert "harmonix-all could not continue" in provenance.model_reason
    assert ["splitter of plugin splitting failed" in text for text in provenance.fallbacks] == [
        True
    ]
    assert second.result.provenance.model == "builtin"
    # What ran out of memory is tried again with the next song.
    assert len(second.result.provenance.fallbacks) == (separator is TooSmall)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "harmonix-all"},
        {"keep_stems": True},
        {"backends": {"demix": "splitter"}},
    ],
)
def test_what_was_requested_is_not_replaced_by_another_model(
    open_session, weights_dir, backend_plugin, songs, tmp_path, options
):
    plugins = {"splitting": backend_plugin("demix", splitter=Failing)}
    options = {**options, "demix_dir": tmp_path / "demix"}
    with open_session(weights_dir=weights_dir, plugins=plugins, **options) as session:
        # One after the other, and both at once: the second may be opened before the first has failed, or after.
        for tracks in (songs[:1], songs[1:], songs):
            for outcome in run_batch(session, tracks):
                assert outcome.status == "failed"


def test_a_name_that_names_the_model_keeps_the_other_out(
    open_session, weights_dir, backend_plugin, songs, tmp_path
):
    plugins = {"splitting": backend_plugin("demix", splitter=Failing)}
    named = replace(songs[0], name="one.harmonix-all", model="harmonix-all")
    with open_session(weights_dir=weights_dir, plugins=plugins) as session:
        (outcome,) = run_batch(session, [named], out_dir=tmp_path / "out")
    assert outcome.status == "failed"
    assert not (tmp_path / "out").exists()
