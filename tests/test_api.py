"""The functions for programs: upstream's signatures and behaviour, and the additional options."""

from __future__ import annotations

import inspect
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import allin1_core
from allin1_core import api, demo
from allin1_core.errors import (
    AudioError,
    BatchError,
    InputError,
    OutputError,
    SelectionError,
    SettingsError,
)
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.assembly import SessionOptions

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def songs(tmp_path):
    """Three songs of three seconds."""
    rng = np.random.default_rng(5)
    paths = []
    for name in ("c", "a", "b"):
        paths.append(tmp_path / "songs" / f"{name}.wav")
        paths[-1].parent.mkdir(exist_ok=True)
        clicks = np.zeros(3 * 44100)
        clicks[:: 22050 + 100 * len(paths)] = 0.9
        soundfile.write(paths[-1], clicks + rng.normal(0, 0.01, clicks.shape), 44100, "FLOAT")
    return paths


@pytest.fixture
def analyze(isolated_plugins):
    """``analyze`` with the built-in model, without what happens to be installed."""
    plugins = isolated_plugins()
    return lambda *args, **options: api.analyze(
        *args, **{"model": "builtin", "plugins": plugins, **options}
    )


def test_the_signature_begins_with_that_of_upstream():
    names = list(inspect.signature(api.analyze).parameters)
    assert names[:13] == [
        *("paths", "out_dir", "visualize", "sonify", "model", "device", "include_activations"),
        *("include_embeddings", "demix_dir", "spec_dir", "keep_byproducts", "overwrite"),
        "multiprocess",
    ]
    for function in (api.visualize, api.sonify):
        names = list(inspect.signature(function).parameters)
        assert names[:3] == ["result", "out_dir", "multiprocess"]


def test_every_option_of_sessions_and_results_is_one_of_analyze():
    taken = {*inspect.signature(api.analyze).parameters, *api.AnalyzeOptions.__annotations__}
    assert {*SessionOptions.__annotations__, *ResultOptions.__annotations__} <= taken
    with pytest.raises(TypeError, match="no option tempo"):
        api.analyze("song.wav", tempo=3)


def test_the_public_surface_is_what_the_documentation_lists():
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    listed = {name.strip(" `") for row in rows for name in row.split(",")}
    assert listed == set(allin1_core.__all__) - {"__version__"}
    for name in allin1_core.__all__:
        assert getattr(allin1_core, name) is not None


def test_one_song_gives_a_result_and_several_a_list_in_their_order(analyze, songs):
    one = analyze(os.fspath(songs[0]))
    assert one.path == songs[0]
    given = [songs[0], songs[1], songs[0]]
    several = analyze(given)
    assert [result.path for result in several] == given
    assert several[0].beats == several[2].beats == one.beats
    assert analyze([songs[0]])[0].beats == one.beats
    assert analyze([]) == []


def test_a_song_that_is_given_twice_is_analysed_once(songs, isolated_plugins):
    told = set()
    outcomes = api.analyze_iter(
        [songs[1], songs[0], songs[1]],
        model="builtin",
        plugins=isolated_plugins(),
        progress=lambda number, stage, fraction: told.add(number),
    )
    found = list(outcomes)
    assert found[0] is found[2]
    assert told == {0, 1}


def test_a_song_that_fails_affects_nothing_else(analyze, songs, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError):
        analyze(tmp_path / "broken.wav")
    with pytest.raises(BatchError) as caught:
        analyze([songs[0], tmp_path / "broken.wav", songs[1]])
    assert [r and r.path for r in caught.value.results] == [songs[0], None, songs[1]]


def test_pictures_and_sound_are_made_where_they_are_requested(analyze, songs, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    analyze(songs[:2], out, tmp_path / "pictures", tmp_path / "sound")
    assert {p.name for p in out.iterdir()} == {"a.json", "c.json"}
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {"a.pdf", "c.pdf"}
    assert {p.name for p in (tmp_path / "sound").iterdir()} == {"a.sonif.wav", "c.sonif.wav"}


def test_figures_and_sounds_come_in_the_order_of_the_results(analyze, songs, tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    results = analyze(songs)
    figures = allin1_core.visualize(results, tmp_path / "viz", multiprocess=False)
    titles = [figure.get_suptitle().split()[0] for figure in figures]
    assert titles == ["c", "a", "b"]
    assert plt.get_fignums() == []
    assert len(list((tmp_path / "viz").iterdir())) == 3
    sounds = allin1_core.sonify(results, tmp_path / "sonif")
    for (samples, rate), path in zip(sounds, songs, strict=True):
        assert (samples.shape, rate) == ((2, 3 * 44100), 44100)
        written, _ = soundfile.read(tmp_path / "sonif" / f"{path.stem}.sonif.wav")
        np.testing.assert_allclose(written.T, samples, atol=1e-4)
    samples, rate = allin1_core.sonify(results[0])
    np.testing.assert_array_equal(samples, sounds[0][0])
    assert not isinstance(allin1_core.visualize(results[0]), list)


def test_pictures_and_sounds_replace_nothing_unasked_and_say_so_before_any_is_made(
    analyze, songs, tmp_path
):
    pytest.importorskip("matplotlib")
    results = analyze(songs[:2])
    for make, name in ((allin1_core.visualize, "a.pdf"), (allin1_core.sonify, "a.sonif.wav")):
        folder = tmp_path / make.__name__
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(OutputError, match="exists already.*overwrite=True"):
            make(results, folder)
        assert {path.name for path in folder.iterdir()} == {name}
        assert (folder / name).read_text() == "mine"
        make(results, folder, overwrite=True)
        assert len(list(folder.iterdir())) == 2
        assert (folder / name).read_bytes() != b"mine"


def test_two_results_of_one_song_never_share_a_picture_but_one_given_twice_does(
    analyze, songs, tmp_path
):
    pytest.importorskip("matplotlib")
    result = analyze(songs[0])
    with pytest.raises(OutputError, match="would be written twice"):
        allin1_core.visualize([result, replace(result)], tmp_path / "viz")
    assert not (tmp_path / "viz").exists()
    assert len(allin1_core.visualize([result, result], tmp_path / "viz")) == 2
    assert len(list((tmp_path / "viz").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"model": 3}, "model is 3"),
        ({"device": ["cuda"]}, "device is"),
        ({"out_dir": 3}, "out_dir is 3"),
        ({"visualize": 3}, "visualize is 3"),
        ({"overwrite": ["json"]}, "overwrite is"),
        ({"include_embeddings": "no"}, "include_embeddings is 'no'"),
        ({"only": ["beats"]}, "only is"),
        ({"jobs": "2"}, "jobs is '2'"),
        ({"executor": 3}, "executor is 3"),
        ({"backends": "nn=torch"}, "backends is 'nn=torch'"),
        ({"spec_backend": 3}, "spec_backend is 3"),
        ({"stems": ["a"]}, "stems is"),
        ({"metre": {"min_bpm": 60}}, "metre is"),
        ({"parity": 3}, "parity is 3"),
        ({"progress": 3}, "progress is 3"),
        ({"mystery": 3}, "has no option mystery"),
    ],
)
def test_an_argument_of_another_type_is_told_before_anything_is_done(songs, arguments, text):
    with pytest.raises(TypeError, match=text):
        list(api.analyze_iter(songs, **{"model": "builtin", **arguments}))


@pytest.mark.parametrize("paths", [3, b"song.wav", [3], [None], [b"song.wav"]])
def test_what_is_no_song_is_told(paths):
    with pytest.raises(InputError, match="not supported"):
        api.analyze(paths)


def test_samples_are_sent_to_a_session_and_jobs_below_one_are_refused(songs):
    with pytest.raises(InputError, match=r"analyze\(samples, rate=44100\)"):
        api.analyze(np.zeros((2, 1000)))
    for jobs in (0, -1):
        with pytest.raises(SettingsError, match="jobs is"):
            api.analyze(songs[0], jobs=jobs)


@pytest.mark.parametrize("function", [api.visualize, api.sonify])
@pytest.mark.parametrize("result", [3, None, "song.json", [3]])
def test_what_is_no_result_is_told(function, result):
    pytest.importorskip("matplotlib")
    with pytest.raises(TypeError, match="expects one or more AnalysisResult, not"):
        function(result)


def test_parts_to_overwrite_may_have_spaces_between_them():
    assert api._parts("json, viz") == {"json", "viz"}
    assert api._parts("") == api._parts(False) == frozenset()


def test_open_files_are_songs_called_after_them(analyze, songs, tmp_path):
    content = songs[0].read_bytes()
    with songs[0].open("rb") as file:
        one = analyze(file, tmp_path / "out")
    assert one.path == songs[0]
    assert json.loads((tmp_path / "out" / "c.json").read_text())["path"] == str(songs[0])
    two = analyze(io.BytesIO(content))
    assert str(two.path) == "stream"
    assert one.beats == two.beats == analyze(songs[0]).beats
    with songs[0].open(encoding="latin-1") as text, pytest.raises(InputError, match='"rb"'):
        analyze(text)


def test_samples_give_what_their_file_gives(isolated_plugins, songs):
    samples, rate = soundfile.read(songs[0], always_2d=True, dtype="float32")
    with allin1_core.Session("builtin", plugins=isolated_plugins()) as session:
        by_path = session.analyze(songs[0])
        assert session.analyze(samples.T, rate).beats == by_path.beats
        assert session.analyze(samples[:, 0], rate).segments == by_path.segments
        whole = np.round(samples.T * 32767).astype(np.int16)
        np.testing.assert_allclose(session.analyze(whole, rate).beats, by_path.beats, atol=0.011)
        with pytest.raises(InputError, match="rate"):
            session.analyze(samples.T)
        with pytest.raises(InputError, match="shape"):
            session.analyze(samples, rate)
        with pytest.raises(InputError, match="object"):
            session.analyze(object(), 44100)


def test_a_session_says_what_it_holds(isolated_plugins, songs):
    session = allin1_core.Session("builtin", plugins=isolated_plugins())
    assert session.status.models == ("builtin",)
    assert not session.status.is_loaded
    session.analyze(songs[0])
    assert session.status.loaded == ("builtin",)
    assert "nn=reference" in session.status.backends
    session.close()
    assert (session.status.loaded, session.status.backends) == ((), ())


def test_a_result_as_a_dict_is_its_json(analyze, songs, tmp_path):
    result = analyze(songs[0], tmp_path)
    assert result.to_dict() == json.loads((tmp_path / "c.json").read_text())


def test_overwrite_names_what_is_made_again(analyze, songs, tmp_path):
    first = analyze(songs[0], tmp_path)
    again = analyze(songs[0], tmp_path)
    assert again.provenance == first.provenance
    assert analyze(songs[0], tmp_path, overwrite="viz").provenance == first.provenance
    assert analyze(songs[0], tmp_path, overwrite=True).provenance != first.provenance
    with pytest.raises(InputError, match="spek"):
        analyze(songs[0], tmp_path, overwrite="json,spek")


def test_the_shorthands_of_the_spectrogram_are_obeyed_or_refused(analyze, songs):
    result = analyze(songs[0], spec_backend="reference-mix")
    (used,) = [s.backend for s in result.provenance.stages if "spectrogram" in s.stages]
    assert used == "reference-mix"
    with pytest.raises(SelectionError, match="torch"):
        analyze(songs[0], spec_backend="torch")


def test_spec_dir_says_that_it_is_not_used(analyze, songs, caplog):
    analyze(songs[0], spec_dir="spec", keep_byproducts=True, only="beats", overwrite="demix")
    assert "Spectrograms are not kept" in caplog.text


def test_processes_are_used_where_they_are_allowed(songs, tmp_path):
    results = api.analyze(songs[:2], tmp_path / "two", model="builtin", only="beats", jobs=2)
    alone = api.analyze(songs[:2], model="builtin", only="beats", jobs=2, multiprocess=False)
    assert [r.beats for r in results] == [r.beats for r in alone]


def test_examples_in_python_run(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", "100M")
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    write_demo = demo.write_demo

    def write_short_demo(folder):
        write_demo(folder)
        for path in Path(folder).rglob("*.wav"):
            samples, rate = soundfile.read(path, stop=6 * 44100)
            soundfile.write(path, samples, rate)

    # A minute takes the reference too long.
    monkeypatch.setattr(demo, "write_demo", write_short_demo)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
