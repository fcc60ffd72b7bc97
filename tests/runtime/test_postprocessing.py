"""Plugins replace results, but cannot damage them."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allin1_core.contracts.result import AnalysisResult, Confidence, Provenance
from allin1_core.contracts.sections import Segment
from allin1_core.markers import hookimpl
from allin1_core.runtime.postprocessing import postprocess

RESULT = AnalysisResult(
    path=Path("song.wav"),
    bpm=120,
    beats=[0.5, 1.0, 1.5],
    downbeats=[0.5],
    beat_positions=[1, 2, 3],
    segments=[Segment(0.0, 1.0, "intro"), Segment(1.0, 2.0, "verse")],
    embeddings=np.zeros((4, 5, 24), np.float32),
    confidence=Confidence([0.9, 0.8, 0.7], None, {}),
    provenance=Provenance("1.0", "random", {}, ()),
)


@pytest.fixture
def load(isolated_plugins, make_plugin):
    """Load plugins that post-process by these functions."""

    def load(**functions):
        made = {n: make_plugin(allin1_postprocess_result=f) for n, f in functions.items()}
        return isolated_plugins(**made)

    return load


def test_without_such_plugins_the_result_is_the_same_object(load):
    assert postprocess(load(), "song", RESULT) is RESULT


def test_a_new_result_replaces_the_old_and_tells_who_changed_it(load):
    def halve(track, result):
        assert track == "song"
        return replace(result, bpm=result.bpm // 2)

    new = postprocess(load(halving=halve), "song", RESULT)
    assert new.bpm == 60
    assert new.provenance == replace(RESULT.provenance, postprocessors=("halving",))
    assert RESULT.bpm == 120


def test_none_leaves_the_result_as_it_is(load):
    assert postprocess(load(idle=lambda track, result: None), "song", RESULT) is RESULT


def test_each_gets_what_the_one_before_it_gave(isolated_plugins):
    class Adding:
        def __init__(self, number):
            self.number = number

        @hookimpl
        def allin1_postprocess_result(self, track, result):
            return replace(result, bpm=result.bpm * 10 + self.number)

    class Last:
        @hookimpl(trylast=True)
        def allin1_postprocess_result(self, track, result):
            return replace(result, bpm=result.bpm * 10 + 9)

    plugins = isolated_plugins(last=Last(), one=Adding(1), two=Adding(2))
    new = postprocess(plugins, "song", replace(RESULT, bpm=0))
    assert new.bpm == 219
    assert new.provenance.postprocessors == ("two", "one", "last")


def test_what_is_changed_in_place_is_a_copy(load):
    def spoil(track, result):
        result.beats.clear()
        result.embeddings[:] = 1.0
        result.provenance.input["kind"] = "lies"

    assert postprocess(load(spoiling=spoil), "song", RESULT) is RESULT
    assert RESULT.beats == [0.5, 1.0, 1.5]
    assert not RESULT.embeddings.any()
    assert RESULT.provenance.input == {}


def test_the_song_and_the_provenance_are_not_a_plugins_to_change(load):
    def forge(track, result):
        return replace(result, path=Path("other.wav"), provenance=None, bpm=1)

    new = postprocess(load(forging=forge), "song", RESULT)
    assert (new.bpm, new.path, new.provenance.model) == (1, Path("song.wav"), "random")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda result: sys.exit(3), "it raised SystemExit: 3"),
        (lambda result: 1 / 0, "it raised ZeroDivisionError"),
        (lambda result: {"bpm": 60}, "which is not an AnalysisResult"),
        (lambda result: replace(result, bpm="fast"), "ValueError"),
        (lambda result: replace(result, beats=None), "TypeError"),
        (lambda result: replace(result, beats=[0.5, float("nan"), 1.5]), "ValueError"),
        (lambda result: replace(result, beats=[0.5]), "1 beats and 3 positions"),
        (lambda result: replace(result, downbeats=[0.7]), "a downbeat at 0.7 s, where there is no"),
        (lambda result: replace(result, bpm=0), "a tempo of 0 bpm"),
        (lambda result: replace(result, beats=[0.5, 0.4, 1.0]), "beats that are not ascending"),
        (lambda result: replace(result, downbeats=[1.0, 1.0]), "downbeats that are not ascending"),
        (lambda result: replace(result, confidence=Confidence([0.5], None, {})), "1 confidences"),
        (lambda result: replace(result, segments=["intro"]), "AttributeError"),
        (lambda result: replace(result, segments=[Segment(1.0, 1.0, "a")]), "end after they start"),
        (lambda result: replace(result, segments=result.segments[::-1]), "not sorted by time"),
    ],
)
def test_a_failure_affects_only_that_change_and_is_reported(load, caplog, change, reason):
    plugins = load(
        later=lambda track, result: replace(result, bpm=result.bpm + 1),
        bad=lambda track, result: change(result),
    )
    new = postprocess(plugins, "song", RESULT)
    assert (new.bpm, new.beats, new.segments) == (121, RESULT.beats, RESULT.segments)
    (warning,) = new.warnings
    assert warning.startswith("The change by plugin bad was not applied: ")
    assert reason in warning
    # Whoever shows the warnings of results shows it; in the log, it would be read twice.
    assert [r for r in caplog.records if r.levelno >= logging.INFO] == []
    assert new.provenance.postprocessors == ("later",)
