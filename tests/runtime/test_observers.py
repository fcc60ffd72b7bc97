"""Observers are notified, and cannot affect a run by modifying, raising or failing to write."""

from __future__ import annotations

import logging

import pytest

from allin1_core.contracts.sections import Segment
from allin1_core.errors import StemsError
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.testing.signals import song_logits


@pytest.fixture
def track(stems):
    (track,) = make_tracks(stems_dirs=[stems.source])
    return track


def test_what_an_observer_changes_reaches_neither_the_result_nor_the_next_one(
    make_session, make_plugin, track
):
    seen = []

    def change(track, result, error):
        seen.append((len(result.beats), result.activations["beat"][0]))
        result.beats.clear()
        result.segments[:] = [Segment(0.0, 1.0, "noise")]
        result.activations["beat"][:] = 0
        result.provenance.input["kind"] = "noise"

    plugins = {name: make_plugin(allin1_track_finished=change) for name in ("one", "two")}
    with make_session() as session:
        wanted = session.analyze(track, include_activations=True)
    with make_session(plugins=plugins) as session:
        result = session.analyze(track, include_activations=True)
    assert seen == [(len(wanted.beats), wanted.activations["beat"][0])] * 2
    assert (result.beats, result.segments) == (wanted.beats, wanted.segments)
    assert result.activations["beat"].tolist() == wanted.activations["beat"].tolist()
    assert result.provenance.input["kind"] == "stems"


def test_what_an_observer_changes_in_an_error_is_not_what_the_caller_reads(
    make_session, make_plugin, tmp_path
):
    def change(track, result, error):
        told.append((type(error), error.__traceback__ is not None))
        error.message = "all is well"
        error.args = ()

    told = []
    plugin = make_plugin(allin1_track_finished=change)
    with make_session(plugins={"one": plugin}) as session:
        with pytest.raises(StemsError, match="has no bass"):
            session.analyze(Track("song", tmp_path, stems_dir=tmp_path))
    assert told == [(StemsError, True)]


def test_an_observer_that_wants_to_end_the_program_does_not(
    make_session, make_plugin, track, caplog
):
    def leave(track, record):
        raise SystemExit(3)

    with make_session(plugins={"bad": make_plugin(allin1_stage_finished=leave)}) as session:
        assert session.analyze(track).beats
    assert "Plugin bad raised in allin1_stage_finished: SystemExit: 3" in caplog.text


def test_timings_that_cannot_be_written_cost_a_warning(make_session, stems, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        with make_session(timings_path=tmp_path / "file" / "timings.jsonl") as session:
            run = session.run(stems)
            session.run(song_logits(300))
        assert session.engine.chooser.failures == {}
    assert len(run.products.metre.beat_times_s)
    assert run.fallbacks == []
    assert caplog.text.count("--timings-path") == 1
