from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest

from allin1_core.contracts.metre import MetreParameters, TempoPrior
from allin1_core.reference.tempo_alternatives import tempo_alternatives


def pulse(frames, *series):
    """Activations with peaks of height `h` at the frames `first`, `first + step` ..."""
    values = np.full((frames, 2), 1e-3)
    for height, first, step in series:
        values[first::step, 0] = height
    return values


def by_definition(values, beats, first, step, prior, bpm):
    """S of the notes, place by place, of beats at equal distances."""
    places = [
        n + part
        for n in range(len(beats))
        for part in (0, Fraction(1, 3), Fraction(1, 2), Fraction(2, 3))
        if n + part <= len(beats) - 1
    ]
    interval = int(beats[1] - beats[0])

    def height(place):
        frame = int(beats[0] + place * interval)
        near = values[max(frame - interval // 16, 0) : frame + interval // 16 + 1]
        return max(near.sum(axis=1))

    usual = np.quantile([height(n) for n in range(len(beats))], 0.9)
    total = 0.0
    for place in places:
        p = min(height(place) / usual, 0.999)
        at = (place - first) / step
        total += math.log(p if at >= 0 and at.denominator == 1 else 1 - p)
    if prior is not None:
        density = statistics.NormalDist(0, prior.octaves).pdf(math.log2(bpm / prior.bpm))
        total += prior.strength * math.log(density) * (beats[-1] - beats[0])
    return total / len(beats)


@pytest.mark.parametrize("prior", [None, TempoPrior(90, 0.4, 0.1)])
def test_confidences_are_those_of_the_definition(prior):
    rng = np.random.default_rng(0)
    values = rng.uniform(0.01, 0.45, (601, 2))
    beats = np.arange(0, 601, 60)  # 100 bpm
    parameters = MetreParameters(min_bpm=1, max_bpm=1000, tempo_prior=prior)
    found = {a.relation: a for a in tempo_alternatives(values, beats, parameters, 100.0)}
    assert {name: round(a.bpm, 9) for name, a in found.items()} == {
        "half": 50,
        "double": 200,
        "3:2": 150,
        "2:3": round(200 / 3, 9),
    }
    series = {
        "half": (Fraction(2), (0, 1)),
        "double": (Fraction(1, 2), (0,)),
        "3:2": (Fraction(2, 3), (0, Fraction(1, 3))),
        "2:3": (Fraction(3, 2), (0, Fraction(1, 2), 1)),
    }
    scores = {}
    for relation, (step, firsts) in series.items():
        one = found[relation]
        tried = {n: by_definition(values, beats, n, step, prior, one.bpm) for n in firsts}
        first = max(tried, key=tried.get)
        assert (one.first, one.step) == (float(first), float(step))
        scores[relation] = tried[first]
    whole = sum(map(math.exp, scores.values()))
    whole += math.exp(by_definition(values, beats, 0, Fraction(1), prior, 100))
    assert list(found) == sorted(scores, key=scores.get, reverse=True)
    for relation, score in scores.items():
        assert found[relation].confidence == pytest.approx(math.exp(score) / whole)


def test_half_the_tempo_is_likely_where_every_second_beat_is_weak():
    beats = np.arange(20, 3000, 50)
    weak = pulse(3000, (0.05, 20, 50), (0.9, 70, 100))
    first = tempo_alternatives(weak, beats, MetreParameters(), 100.0)[0]
    assert (first.relation, first.first, first.step) == ("half", 1.0, 2.0)
    assert first.bpm == pytest.approx(60)
    assert 0.5 < first.confidence < 0.95
    even = tempo_alternatives(pulse(3000, (0.9, 20, 50)), beats, MetreParameters(), 100.0)[0]
    assert even.confidence < 0.3


def test_triplets_are_seen_between_the_beats():
    beats = np.arange(0, 3000, 60)
    triplets = pulse(3000, (0.5, 0, 20), (0.9, 0, 60))
    parameters = MetreParameters(min_bpm=30, max_bpm=300)
    found = {a.relation: a.confidence for a in tempo_alternatives(triplets, beats, parameters, 100)}
    eighths = pulse(3000, (0.5, 0, 30), (0.9, 0, 60))
    other = {a.relation: a.confidence for a in tempo_alternatives(eighths, beats, parameters, 100)}
    assert found["3:2"] > other["3:2"]
    assert found["double"] < other["double"]


def test_a_prior_over_tempo_counts_for_alternatives_too():
    beats, values = np.arange(20, 3000, 50), pulse(3000, (0.3, 20, 50))
    confidence = {}
    for bpm in (60, 120):
        parameters = MetreParameters(tempo_prior=TempoPrior(bpm, 0.5, 0.05))
        (half,) = [
            a for a in tempo_alternatives(values, beats, parameters, 100.0) if a.relation == "half"
        ]
        confidence[bpm] = half.confidence
    assert confidence[60] > 2 * confidence[120]


def test_only_tempi_within_the_range_are_alternatives():
    beats, values = np.arange(20, 3000, 50), pulse(3000, (0.9, 20, 50))
    parameters = MetreParameters(min_bpm=100, max_bpm=239)
    found = tempo_alternatives(values, beats, parameters, 100.0)
    assert [a.relation for a in found] == ["3:2"]
    parameters = MetreParameters(min_bpm=110, max_bpm=130)
    assert tempo_alternatives(values, beats, parameters, 100.0) == ()


def test_few_beats_have_no_alternatives():
    values = pulse(3000, (0.9, 20, 50))
    assert tempo_alternatives(values, np.arange(20, 370, 50), MetreParameters(), 100.0) == ()
    assert tempo_alternatives(values, np.arange(0), MetreParameters(), 100.0) == ()


@pytest.mark.parametrize("value", [0.0, 0.5, 2.0, np.nan, np.inf, -np.inf])
def test_values_that_are_not_probabilities_give_numbers(value):
    values = np.full((900, 2), value)
    found = tempo_alternatives(values, np.arange(5, 900, 50), MetreParameters(), 100.0)
    assert len(found) == 3
    assert all(0 <= a.confidence <= 1 for a in found)
    assert sum(a.confidence for a in found) <= 1
