"""Stems that plugins provide: as files or loaded on demand, when they are requested, and failures."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.found_stems import FoundStems
from allin1_core.contracts.logits import Logits
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import track_of
from allin1_core.testing.signals import music_stems

LENGTH_S = 6.0


def network(setup):
    """In place of the random model, which takes a second a song."""

    def run(spectrogram, task):
        beat = np.full(spectrogram.frames.shape[1], -9, np.float32)
        beat[20::50] = 9
        return Logits(beat, beat, beat, np.zeros((10, len(beat)), np.float32))

    return run


@pytest.fixture
def ask(make_session, make_plugin, backend_plugin, separator):
    """Make a session whose plugin answers a question for stems; gives the session, and the questions."""

    def make(answer, **options):
        questions = []

        def allin1_find_stems(song, track):
            questions.append((song, track))
            return answer() if callable(answer) else answer

        plugins = {
            "library": make_plugin(allin1_find_stems=allin1_find_stems),
            "separate": backend_plugin("demix", splitting=separator),
            "network": backend_plugin("nn", quick=network),
        }
        return make_session(plugins=plugins, **options), questions

    return make


@pytest.fixture
def song(write_song):
    return write_song(seconds=LENGTH_S)


def in_files(stems) -> FoundStems:
    return FoundStems({name: stems.by_name[name] for name in STEMS})


def separated(result) -> bool:
    return any("demix" in record.stages for record in result.provenance.stages)


def test_stems_in_files_are_read_instead_of_separating(ask, stems, song) -> None:
    session, questions = ask(in_files(stems))
    with session:
        result = session.analyze(song)
        assert session.explain(track_of(song)).request.stages[0] == "spectrogram"
    assert questions[0] == (song, "song")
    assert not separated(result)
    source = result.provenance.input
    assert (source["kind"], source["given_by"]) == ("stems", "library")
    assert [file["path"] for file in source["files"]] == [str(path) for path in stems.paths]
    assert result.path == song


def test_stems_are_given_when_they_are_needed(ask, song) -> None:
    reads = []

    def read():
        reads.append(True)
        return music_stems(LENGTH_S)

    session, _ = ask(FoundStems(read=read, version="3"))
    with session:
        assert session.explain(track_of(song)).request.stages[0] == "spectrogram"
        assert not reads
        result = session.analyze(song)
    assert len(reads) == 1
    assert not separated(result)
    assert result.provenance.input == {"kind": "stems", "given_by": "library"}
    assert result.provenance.identity.options["stems_by"] == "library 3"


def test_a_result_is_up_to_date_as_long_as_song_and_version_are(ask, song, tmp_path) -> None:
    reads = []

    def found(version):
        return FoundStems(
            read=lambda: reads.append(version) or music_stems(LENGTH_S), version=version
        )

    def run(version):
        session, _ = ask(found(version))
        with session:
            (outcome,) = run_batch(session, [track_of(song)], out_dir=tmp_path / "out")
        return outcome.status, str(outcome.error or "")

    assert run("1")[0] == "done"
    assert run("1")[0] == "skipped"
    assert reads == ["1"]
    status, error = run("2")
    assert status == "failed"
    assert "its stems_by is library 1, not library 2" in error


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"keep_stems": True}, "stems are to be kept"),
        ({"backends": {"demix": "splitting"}}, "a separator was named"),
        ({"demix": DemixParameters(shifts=2)}, "parameters were named"),
        ({"card": {"takes": "mix"}}, "the model takes the mix"),
    ],
)
def test_nobody_is_asked_where_it_would_not_be_used(
    ask, stems, song, tmp_path, options, why
) -> None:
    if "keep_stems" in options:
        options = {**options, "demix_dir": tmp_path / "kept"}
    session, questions = ask(in_files(stems), **options)
    with session:
        session.analyze(song)
    assert not questions, why


def test_stems_that_the_user_gives_are_taken_without_a_request(ask, stems, song) -> None:
    session, questions = ask(FoundStems())
    with session:
        session.analyze(replace(track_of(song), stems=stems))
        session.analyze(stems.source)
    assert not questions


def raising():
    raise KeyError("no such song")


def without_bass(stems):
    return FoundStems({**in_files(stems).files, "bass": stems.bass.with_name("gone.wav")})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda s: raising(), "KeyError: 'no such song'."),
        (lambda s: "stems", "It returned 'stems'; wanted FoundStems or None."),
        (lambda s: FoundStems(), "wanted a path for each of bass, drums, other, vocals."),
        (lambda s: FoundStems({n: str(p) for n, p in s.by_name.items()}), "wanted paths of the"),
        (lambda s: FoundStems(in_files(s).files, read=raising), "either files or a function"),
        (without_bass, "gone.wav: does not exist."),
        (lambda s: FoundStems(read=raising), "KeyError: 'no such song'."),
        (lambda s: FoundStems(read=lambda: "stems"), "It returned 'stems'; wanted Stems."),
        (
            lambda s: FoundStems(read=lambda: Stems(np.zeros((3, 2, 9), np.float32))),
            "has shape [3, 2, 9]",
        ),
        (
            lambda s: FoundStems(read=lambda: music_stems(3.0)),
            "It returned stems of 3.000 s; the song has 6.000 s.",
        ),
    ],
)
def test_what_cannot_be_used_costs_a_warning_and_the_song_is_separated(
    ask, stems, song, caplog, answer, message
) -> None:
    session, _ = ask(lambda: answer(stems))
    with session:
        result = session.analyze(song)
    assert separated(result)
    assert "given_by" not in result.provenance.input
    (warning,) = [w for w in result.warnings if "are not used" in w]
    assert warning.startswith("Stems of plugin library are not used: ")
    assert message.rstrip(".") in warning
    # Whoever shows the warnings of results shows it; in the log, it would be read twice.
    assert not any(warning in r.getMessage() for r in caplog.records)


def test_the_first_plugin_that_has_stems_is_taken(
    make_session, make_plugin, stems, song, tmp_path
) -> None:
    other = shutil.copytree(stems.source, tmp_path / "other")
    seen = []

    def plugin(answer):
        def allin1_find_stems(song, track):
            seen.append(answer)
            return answer

        return make_plugin(allin1_find_stems=allin1_find_stems)

    mine = FoundStems({name: other / f"{name}.wav" for name in STEMS})
    plugins = {"never": plugin(in_files(stems)), "mine": plugin(mine), "none": plugin(None)}
    with make_session(plugins=plugins) as session:
        result = session.analyze(song)
    assert seen == [None, mine]
    assert result.provenance.input["given_by"] == "mine"
