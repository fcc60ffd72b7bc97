"""Scores of what is right, and of what is wrong in a known way."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.evaluation import Reference, score
from allin1_core.evaluation.dataset import SongScores, means, to_json
from allin1_core.page.content import Version
from allin1_core.page.scores import score_versions

pytest.importorskip("mir_eval", reason="scoring needs the extra [evaluate]")

BEATS = np.arange(0.3, 60, 0.5)
SECTIONS = (Segment(0, 20, "intro"), Segment(20, 40, "verse"), Segment(40, 60, "chorus"))
REFERENCE = Reference(BEATS, BEATS[::4], SECTIONS)


def test_the_reference_itself_scores_one_everywhere():
    found = score(REFERENCE, BEATS, BEATS[::4], SECTIONS)
    assert set(found) == {
        *("beat_f", "downbeat_f", "beat_cmlt", "beat_amlt"),
        *("boundary_hr_05", "boundary_hr_3", "pairwise_f", "label_accuracy"),
    }
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_double_tempo_is_wrong_but_for_amlt():
    double = np.arange(0.3, 60, 0.25)
    found = score(REFERENCE, double)
    assert found["beat_f"] == pytest.approx(2 / 3, abs=0.01)
    assert found["beat_cmlt"] == 0
    assert found["beat_amlt"] == 1


def test_boundaries_two_seconds_off_count_within_three():
    moved = (Segment(0, 22, "intro"), Segment(22, 42, "verse"), Segment(42, 60, "verse"))
    found = score(REFERENCE, segments=moved)
    assert found["boundary_hr_05"] == pytest.approx(0.5)
    assert found["boundary_hr_3"] == 1
    assert found["label_accuracy"] == pytest.approx(38 / 60)


def test_nothing_found_scores_nought_without_a_warning():
    found = score(REFERENCE, [], [])
    assert found == dict.fromkeys(("beat_f", "beat_cmlt", "beat_amlt", "downbeat_f"), 0.0)


def test_what_was_not_annotated_is_not_scored():
    assert set(score(Reference(beats=BEATS), BEATS, BEATS[::4], SECTIONS)) == {
        "beat_f",
        "beat_cmlt",
        "beat_amlt",
    }


def test_labels_are_compared_without_capitals_and_numbers():
    theirs = Reference(segments=(Segment(0, 20, "Verse 1"), Segment(20, 40, "Chorus2")))
    mine = (Segment(0, 20, "verse"), Segment(20, 40, "chorus"))
    assert score(theirs, segments=mine)["label_accuracy"] == 1


def test_pairwise_agreement_does_not_care_what_labels_are_called():
    other = tuple(Segment(s.start, s.end, s.label[::-1]) for s in SECTIONS)
    found = score(REFERENCE, segments=other)
    assert found["pairwise_f"] == pytest.approx(1)
    assert found["label_accuracy"] == 0
    # Two of three sections taken for one: of 3 n^2 pairs that agree in truth all are found, and 2 n^2 more.
    merged = (Segment(0, 40, "verse"), Segment(40, 60, "chorus"))
    assert score(REFERENCE, segments=merged)["pairwise_f"] == pytest.approx(3 / 4, abs=0.01)


def test_the_page_compares_each_result_with_the_first():
    first = AnalysisResult(
        Path("a.wav"), 120, [*BEATS], [*BEATS[::4]], [1] * len(BEATS), [*SECTIONS]
    )
    second = replace(first, beats=[*BEATS[::2]])
    bare = replace(first, segments=[])
    versions = [Version(name, one) for name, one in zip("abc", (first, second, bare), strict=True)]
    content = score_versions(versions)
    assert content["names"] == ["a", "b", "c"]
    rows = {title: values for title, *values in content["rows"]}
    assert rows["beats, F"] == pytest.approx([2 / 3, 1], abs=0.01)
    assert rows["downbeats, F"] == pytest.approx([1, 1])
    assert rows["boundaries, HR3F"] == [pytest.approx(1), ""]
    assert score_versions(versions[:1]) is None


@pytest.mark.parametrize("seconds", [1 / 44_100, 0.05, 0.1])
def test_a_score_that_is_not_defined_is_absent_and_the_mean_is_over_the_others(seconds):
    tiny = (Segment(0.0, seconds, "verse"),)
    found = score(Reference(segments=tiny), segments=tiny)
    assert found
    assert all(math.isfinite(value) for value in found.values())
    songs = [
        SongScores("tiny", found, ("segments",)),
        SongScores("song", score(REFERENCE, segments=SECTIONS), ("segments",)),
    ]
    assert means(songs)["pairwise_f"] == pytest.approx(1)
    json.dumps(to_json(songs), allow_nan=False)
