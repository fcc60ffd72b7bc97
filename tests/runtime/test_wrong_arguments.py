"""Wrong arguments of a session are told before anything is done with them, in words of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from allin1_core.contracts.metre import MetreParameters
from allin1_core.errors import InputError, SettingsError
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import make_tracks


@pytest.mark.parametrize(
    "rate", [0, -1, 3, math.nan, math.inf, 44100.5, "44100", True, [44100], 10**30]
)
def test_a_rate_that_is_none_is_told(make_session, rate):
    with make_session() as session, pytest.raises(InputError, match="The sample rate is"):
        session.analyze(np.zeros((2, 44100), np.float32), rate)


@pytest.mark.parametrize(
    "song",
    [None, 5, object(), b"abc", np.zeros(9, complex), np.zeros(9, bool), {}],
    ids=lambda song: type(song).__name__,
)
def test_what_is_neither_a_song_nor_samples_is_told(make_session, song):
    with make_session() as session, pytest.raises(InputError, match="is not supported"):
        session.analyze(song, 44100)


def test_files_that_cannot_be_read_are_told(make_session, tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(b"\xff")
    with make_session() as session:
        with path.open() as text, pytest.raises(InputError, match="text mode"):
            session.analyze(text)
        with pytest.raises(InputError, match="closed file"):
            session.analyze(text.buffer)
        with path.open("wb") as file, pytest.raises(InputError, match="cannot be read"):
            session.analyze(file)


def test_errors_about_samples_name_no_file_of_ours(make_session):
    with make_session() as session, pytest.raises(InputError) as caught:
        session.analyze(np.full((4, 44100), np.nan, np.float32), 44100)
    assert caught.value.path == "samples"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"only": ["beats"]}, "only is"),
        ({"include_activations": "no"}, "include_activations is 'no'"),
        ({"progress": 3}, "progress is 3"),
        ({"mystery": 3}, "has no option mystery"),
    ],
)
def test_an_option_of_an_analysis_that_is_wrong_is_told(make_session, options, text):
    with make_session() as session, pytest.raises(TypeError, match=text):
        session.analyze("song.wav", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": 3}, "model is 3"),
        ({"plugins": 3}, "plugins is 3"),
        ({"device": 3}, "device is 3"),
        ({"backends": {"nn": 3}}, "backends"),
        ({"metre": 3}, "metre is 3"),
        ({"metre": MetreParameters(min_bpm="60")}, "metre.min_bpm is '60'"),
        ({"demix": 3}, "demix is 3"),
        ({"plugin_options": {"a": 3}}, "plugin_options"),
        ({"parity": 3}, "parity is 3"),
        ({"threads": "4"}, "threads is '4'"),
        ({"timings_path": 3}, "timings_path is 3"),
        ({"cache": "no"}, "cache is 'no'"),
        ({"mystery": 3}, "has no option mystery"),
    ],
)
def test_an_option_of_a_session_that_is_wrong_is_told(options, text):
    with pytest.raises(TypeError, match=text):
        Session(**options)


def test_a_session_needs_a_thread():
    with pytest.raises(SettingsError, match="threads is 0"):
        Session(threads=0)


def test_what_no_run_starts_from_and_outputs_that_are_one_text_are_told(make_session):
    with make_session() as session:
        for call in (session.run, session.explain, session.choose_model):
            with pytest.raises(TypeError, match="A run cannot start from str"):
                call("song.wav")
        for call in (session.explain, session.choose_model):
            with pytest.raises(TypeError, match="outputs is 'beats'"):
                call(60.0, outputs="beats")
            for seconds in (0, -1, math.nan, math.inf):
                with pytest.raises(InputError, match="seconds long"):
                    call(seconds)


def test_numbers_of_numpy_give_the_identity_of_those_of_python(make_session, stems):
    (track,) = make_tracks((), stems=stems)

    def identity(**metre):
        with make_session(metre=MetreParameters(**metre)) as session:
            return session.analysis(track).identities[0]

    one = identity(beats_per_bar=(3,), num_tempi=60, min_bpm=60.0)
    assert (
        identity(beats_per_bar=[np.int64(3)], num_tempi=np.int64(60), min_bpm=np.float32(60)) == one
    )
