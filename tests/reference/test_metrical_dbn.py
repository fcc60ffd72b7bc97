from __future__ import annotations

import itertools
import json
import math
import statistics
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import NO_TEMPO_PRIOR, MetreParameters, TempoPrior
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import ContractError
from allin1_core.reference import bar_pointer_viterbi, metrical_prep
from allin1_core.reference.bar_pointer import (
    NO_PATH,
    bar_pointer_model,
    beat_heights,
    log_densities,
)
from allin1_core.reference.metrical_dbn import create
from allin1_core.testing.madmom import madmom_decoder

#: A model that is small enough for quick tests: beats of 4 to 10 frames at 10 frames per second.
SMALL = MetreParameters(beats_per_bar=(2, 3), min_bpm=60, max_bpm=150, num_tempi=None)
SMALL_RATE = 10.0


def decode(values, parameters=SMALL, frames_per_second=SMALL_RATE, task=None):
    stage = create(Setup(metre=parameters))
    return stage(Activations(values, frames_per_second), task or Task()).validate()


def pairs(metre):
    return list(zip(metre.beat_times_s.tolist(), metre.beat_positions.tolist(), strict=True))


def song(seed, frames, frames_per_second=100.0, bpm=None, beats_per_bar=None):
    """Activations with noise and peaks a few frames wide at beats, some missing, the tempo drifting."""
    rng = np.random.default_rng(seed)
    bpm = bpm or rng.uniform(60, 200)
    beats_per_bar = beats_per_bar or int(rng.choice([2, 3, 4, 5]))
    logits = np.stack([rng.normal(-7, 1, frames), rng.normal(-8, 1, frames)])
    drift, missing = rng.choice([0, 0.05]), rng.choice([0, 0.1, 0.3])
    time = rng.uniform(0, 0.5)
    for beat in itertools.count(int(rng.integers(beats_per_bar))):
        centre = round(time * frames_per_second)
        if centre >= frames:
            break
        if rng.random() >= missing:
            for offset, height in ((-2, 5), (-1, 8), (0, 10), (1, 8), (2, 5)):
                at = min(max(centre + offset, 0), frames - 1)
                logits[0, at] = max(logits[0, at], -7 + height + rng.normal(0, 0.3))
                if beat % beats_per_bar == 0:
                    logits[1, at] = max(logits[1, at], -8 + height + rng.normal(0, 0.3))
        time += 60 / (bpm * (1 + drift * np.sin(time / 5)))
    return prepared(*logits.astype(np.float32))


def prepared(beat, downbeat):
    empty = np.zeros((10, len(beat)), np.float32)
    stage = metrical_prep.create(Setup())
    return stage(Logits(beat, downbeat, beat, empty), Task()).values


def odd_activations():
    """By name: what a decoder does not meet in music, 300 frames each."""
    floor = np.full((300, 2), 1e-6, np.float32)
    cases = {"constant": np.full((300, 2), 0.3, np.float32)}
    cases["rows of sum 1"] = np.full((300, 2), 0.5, np.float32)
    cases["rows of sum above 1"] = np.full((300, 2), 0.6, np.float32)
    cases["NaN"] = np.full((300, 2), np.nan, np.float32)
    cases["infinite"] = np.full((300, 2), np.inf, np.float32)
    cases["negative"] = np.full((300, 2), -0.1, np.float32)
    impulses = np.zeros((300, 2), np.float32)
    impulses[::50, 1] = 0.9
    cases["impulses on exact zeros"] = impulses
    metronome = floor.copy()
    metronome[::50] = [0.9, 1e-6]
    metronome[::200] = [1e-6, 0.9]
    cases["metronome"] = metronome
    for name, value in (("NaN", np.nan), ("inf", np.inf), ("-inf", -np.inf)):
        x = metronome.copy()
        x[120:123] = value
        cases[f"metronome with {name}"] = x
    x = metronome.copy()
    x[120, 0] = np.inf
    cases["one infinite beat"] = x
    x = metronome.copy()
    x[::50] = [0.7, 0.6]
    cases["beats of sum above 1"] = x
    # Few values: exact ties everywhere.
    cases["coarse"] = np.float32(0.01) + np.random.default_rng(0).integers(0, 5, (300, 2)).astype(
        np.float32
    ) / np.float32(10)
    return cases


# --- an independent search over all states ---------------------------------------------------------------


def log_chance(intervals, transition_lambda):
    """Log probabilities ``[from, to]`` of a change of interval."""
    weights = np.array([[-abs(to / one - 1) for to in intervals] for one in intervals])
    chance = np.exp(transition_lambda * weights)
    chance[chance <= 2**-52] = 0
    with np.errstate(divide="ignore"):
        return np.log(chance / chance.sum(axis=1, keepdims=True))


def frame_gain(prior, bpm):
    """What a frame gains from the prior, from its definition."""
    if prior is None:
        return 0.0
    density = statistics.NormalDist(0, prior.octaves).pdf(math.log2(bpm / prior.bpm))
    return prior.strength * math.log(density)


def full_search(values, parameters, frames_per_second):
    """Score and beats by a Viterbi search over every state, one at a time, from the definition of the model.

    Only for ``num_tempi=None`` and ``correct=True``.
    """
    shortest = round(60 * frames_per_second / parameters.max_bpm)
    longest = round(60 * frames_per_second / parameters.min_bpm)
    intervals = range(shortest, longest + 1)
    border = 1 / parameters.observation_lambda
    with np.errstate(all="ignore"):
        nothing = np.log((1 - values.sum(axis=1)) / (parameters.observation_lambda - 1))
        densities = np.stack([nothing, np.log(values[:, 0]), np.log(values[:, 1])]).astype(float)
        chances = log_chance(intervals, parameters.steadiness)

    best = (-np.inf, None, None)
    for beats in parameters.beats_per_bar:
        states = [(b, i, k) for b in range(beats) for i in intervals for k in range(i)]
        number = {state: n for n, state in enumerate(states)}
        kinds, gains = [], []
        for b, i, k in states:
            on_beat = (np.linspace(0, 1, i, endpoint=False)[k] + b) % 1 < border
            kinds.append((2 if b == 0 else 1) if on_beat else 0)
            gains.append(frame_gain(parameters.tempo_prior, 60 * frames_per_second / i))
        sources = []
        for b, i, k in states:
            if k:
                sources.append([(number[b, i, k - 1], 0.0)])
            else:
                before = (b - 1) % beats
                sources.append(
                    [
                        (number[before, j, j - 1], chances[j - shortest, i - shortest])
                        for j in intervals
                    ]
                )
        scores = [float(np.log(1 / len(states)))] * len(states)
        pointers = []
        for t in range(len(values)):
            new, came_from = [], []
            for n in range(len(states)):
                top, source = -np.inf, 0
                for candidate, weight in sources[n]:
                    score = scores[candidate] + weight + densities[kinds[n], t] + gains[n]
                    if score > top:
                        top, source = score, candidate
                new.append(top)
                came_from.append(source)
            scores = new
            pointers.append(came_from)
        top = max(scores)
        if top > best[0]:
            path = [scores.index(top)]
            for came_from in reversed(pointers[1:]):
                path.append(came_from[path[-1]])
            path.reverse()
            best = (top, [states[n] for n in path], [kinds[n] > 0 for n in path])
    _, path, on_beat = best
    if path is None:
        return -np.inf, []
    beats_found = []
    for is_beat, group in itertools.groupby(range(len(path)), key=lambda t: on_beat[t]):
        if is_beat:
            frames = list(group)
            peak = frames[int(np.argmax(values[frames].max(axis=1)))]
            beats_found.append((peak / frames_per_second, path[peak][0] + 1))
    return best[0], beats_found


@pytest.mark.parametrize("seed", range(8))
def test_it_equals_a_search_over_all_states(seed):
    rng = np.random.default_rng(seed)
    frames = [1, 2, 5, 11, 40, 60, 80, 100][seed]
    values = [
        lambda: song(seed, frames, SMALL_RATE, bpm=100),
        lambda: (rng.random((frames, 2)) * 0.5).astype(np.float32),
        lambda: rng.random((frames, 2)) ** 4 * 0.5,
        # Few different values: exact ties, of which the first must win.
        lambda: 0.125 * rng.integers(1, 4, (frames, 2)),
    ][seed % 4]()
    score, beats = full_search(values, SMALL, SMALL_RATE)
    assert pairs(decode(values)) == beats
    path = bar_pointer_viterbi.most_probable_path(
        bar_pointer_model(SMALL, SMALL_RATE),
        log_densities(values, SMALL.observation_lambda),
        beat_heights(values, SMALL.correct),
        lambda fraction: None,
    )
    assert max(path.log_probabilities) == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_with_a_prior_over_tempo_it_equals_a_search_over_all_states(seed):
    rng = np.random.default_rng(seed)
    prior = TempoPrior(
        float(rng.choice([60, 90, 150, 240])), float(rng.choice([0.3, 1])), [0.05, 1][seed % 2]
    )
    parameters = replace(SMALL, tempo_prior=prior)
    frames = [1, 2, 5, 11, 40, 60, 80, 100][seed]
    values = rng.random((frames, 2)) ** (1 + 3 * (seed % 2)) * 0.5
    score, beats = full_search(values, parameters, SMALL_RATE)
    found = decode(values, parameters)
    assert pairs(found) == beats
    assert max(p for _, p in found.metre_log_probabilities) == pytest.approx(score, rel=1e-12)


def test_a_prior_over_tempo_decides_between_octaves():
    # Every second beat is weaker, so that half the tempo fits nearly as well.
    values = np.full((2400, 2), 1e-3, np.float32)
    values[25::40, 0] = 0.9
    values[45::40, 0] = 0.03
    values[25::160] = [1e-3, 0.9]
    tempo = {}
    for bpm in (70, 120, 160):
        parameters = MetreParameters(threshold=0.0, tempo_prior=TempoPrior(bpm, 0.5, 0.2))
        found = decode(values, parameters, 100)
        tempo[bpm] = round(60 / np.median(np.diff(found.beat_times_s)))
    assert tempo == {70: 75, 120: 150, 160: 150}


@pytest.mark.parametrize("prior", [None, NO_TEMPO_PRIOR, TempoPrior(90, 0.3, 0.0)])
def test_without_strength_a_prior_changes_no_bit(prior):
    values = song(3, 700)
    plain = bar_pointer_model(MetreParameters(), 100.0)
    model = bar_pointer_model(MetreParameters(tempo_prior=prior), 100.0)
    assert model.frame_gains is None
    np.testing.assert_array_equal(model.log_transition, plain.log_transition)
    found = decode(values, MetreParameters(tempo_prior=prior), 100)
    assert pairs(found) == pairs(decode(values, MetreParameters(), 100))


@pytest.mark.parametrize("observation_lambda", [2, 3, 5])
def test_it_equals_a_search_over_all_states_with_long_beats(observation_lambda):
    # With a lambda of 3 a beat of 6 frames is 2 or 3 of them long, by rounding and its place in the bar.
    parameters = MetreParameters(
        beats_per_bar=(1, 3),
        min_bpm=80,
        max_bpm=200,
        num_tempi=None,
        observation_lambda=observation_lambda,
        transition_lambda=3,
    )
    values = (np.random.default_rng(observation_lambda).random((60, 2)) * 0.5).astype(np.float32)
    _, beats = full_search(values, parameters, SMALL_RATE)
    assert len(beats) > 3
    assert pairs(decode(values, parameters)) == beats


def test_intervals_of_one_frame():
    parameters = MetreParameters(beats_per_bar=(3,), min_bpm=300, max_bpm=600, num_tempi=None)
    values = (np.random.default_rng(0).random((30, 2)) * 0.5).astype(np.float32)
    _, beats = full_search(values, parameters, SMALL_RATE)
    assert pairs(decode(values, parameters)) == beats


# --- the original ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(3))
def test_it_equals_what_madmom_gave(golden, index):
    # madmom 0.17.dev0, commit 27f032e: noise, metronomes, drifting and missing beats, NaN, short inputs.
    cases = golden("dbn.npz")
    parameters = json.loads(str(cases["params"][index]))
    parameters["beats_per_bar"] = tuple(parameters["beats_per_bar"])
    stage = create(Setup(metre=MetreParameters(**parameters)))
    count = sum(name.startswith("in_") for name in cases)
    assert count > 80
    for i in range(count):
        found = stage(Activations(cases[f"in_{i}"]), Task()).validate()
        expected = cases[f"out_{i}_{index}"]
        np.testing.assert_array_equal(found.beat_times_s, expected[:, 0], err_msg=f"input {i}")
        np.testing.assert_array_equal(found.beat_positions, expected[:, 1], err_msg=f"input {i}")


@pytest.mark.parametrize("model", ["fold0", "ensemble"])
@pytest.mark.parametrize("name", ["francium_excerpt", "synthetic_4_4", "synthetic_3_4"])
def test_it_gives_the_beats_of_allin1(golden, name, model):
    # allin1 1.1.0's own post-processing of these logits.
    result = golden(f"{name}.json")
    expected = result.get("upstream", result)[model]
    threshold = {"fold0": 0.22, "ensemble": 0.24}[model]
    assert expected["threshold_downbeat"] == pytest.approx(threshold)
    arrays = golden(f"{name}.npz")
    values = prepared(arrays[f"{model}_logits_beat"], arrays[f"{model}_logits_downbeat"])
    found = decode(values, MetreParameters(threshold=threshold), 100)
    assert found.beat_times_s.tolist() == expected["beats"]
    assert found.beat_positions.tolist() == expected["beat_positions"]
    assert found.downbeat_times_s.tolist() == expected["downbeats"]


@pytest.fixture(scope="module")
def decode_by_madmom():
    return madmom_decoder()


def assert_same_as_madmom(decode_by_madmom, values, parameters, frames_per_second):
    expected = decode_by_madmom(values, parameters, frames_per_second)
    found = decode(values, parameters, frames_per_second)
    if expected is None:
        assert pairs(found) == []
        assert found.warnings == (NO_PATH,)
        return
    np.testing.assert_array_equal(found.beat_times_s, expected[:, 0])
    np.testing.assert_array_equal(found.beat_positions, expected[:, 1])


@pytest.mark.parametrize("seed", range(40))
def test_it_equals_madmom_on_songs(decode_by_madmom, seed):
    rng = np.random.default_rng(1000 + seed)
    values = song(seed, int(rng.integers(1, 1500)))
    parameters = MetreParameters(threshold=float(rng.choice([0, 0.05, 0.24])))
    assert_same_as_madmom(decode_by_madmom, values, parameters, 100)


@pytest.mark.parametrize("seed", range(40))
def test_it_equals_madmom_with_any_parameters(decode_by_madmom, seed):
    rng = np.random.default_rng(2000 + seed)
    frames_per_second = float(rng.choice([20, 31.25, 43.07, 50, 86.13, 100]))
    low = float(rng.uniform(40, 90))
    metres = rng.permutation([1, 2, 3, 4, 5, 6, 7])[: rng.integers(1, 4)]
    parameters = MetreParameters(
        beats_per_bar=tuple(int(n) for n in metres),
        min_bpm=low,
        max_bpm=low * float(rng.uniform(1, 3)),
        num_tempi=[None, 1, 5, 20, 60][seed % 5],
        transition_lambda=float(rng.choice([1, 20, 100, 300])),
        observation_lambda=int(rng.integers(2, 21)),
        threshold=[None, 0, 0.05, 0.24][seed % 4],
        correct=bool(rng.random() < 0.7),
    )
    kind = rng.integers(3)
    frames = int(rng.integers(1, 600))
    if kind == 0:
        values = song(seed, frames, frames_per_second)
    elif kind == 1:
        values = rng.dirichlet([0.3, 0.2, 2], frames)[:, :2]
    else:
        values = (0.01 + 0.1 * rng.integers(0, 5, (frames, 2))).astype(np.float32)
    assert_same_as_madmom(decode_by_madmom, values, parameters, frames_per_second)


@pytest.mark.parametrize("name", list(odd_activations()))
@pytest.mark.parametrize("threshold", [None, 0.24])
def test_it_equals_madmom_on_odd_activations(decode_by_madmom, name, threshold):
    parameters = MetreParameters(threshold=threshold)
    assert_same_as_madmom(decode_by_madmom, odd_activations()[name], parameters, 100)


@pytest.mark.parametrize("seed", range(4))
def test_scores_and_paths_are_those_of_madmom_to_the_bit(madmom, seed):
    values = song(seed, 700)
    for beats, dtype in itertools.product((3, 4), (np.float32, np.float64)):
        x = values.astype(dtype)
        space = madmom.features.beats_hmm.BarStateSpace(beats, 60 * 100 / 215, 60 * 100 / 55, 60)
        hmm = madmom.features.downbeats.HiddenMarkovModel(
            madmom.features.beats_hmm.BarTransitionModel(space, 100),
            madmom.features.beats_hmm.RNNDownBeatTrackingObservationModel(space, 16),
        )
        states, log_probability = hmm.viterbi(x)
        model = bar_pointer_model(MetreParameters(beats_per_bar=(beats,)), 100)
        path = bar_pointer_viterbi.most_probable_path(
            model, log_densities(x, 16), beat_heights(x, True), lambda f: None
        )
        assert path.log_probabilities == (log_probability,)
        stops = [*path.lanes[1:, 0], len(x)]
        ours = []
        for (entry, beat, interval), stop in zip(path.lanes, stops, strict=True):
            first = beat * model.intervals.sum() + model.intervals[:interval].sum()
            ours += [first + frame - entry for frame in range(max(entry, 0), stop)]
        assert ours == states.tolist()


def every_path(model, densities, beats, transition_lambda, prior, frames_per_second):
    """All paths of a metre as (log probability, lanes), from the definition of the model."""
    frames = densities.shape[1]
    start = -np.log(beats * int(model.intervals.sum()))
    chance = log_chance(model.intervals, transition_lambda)
    gains = [frame_gain(prior, bpm) for bpm in 60 * frames_per_second / model.intervals]

    def walk(lanes, score):
        entry, beat, index = lanes[-1]
        interval, zone = int(model.intervals[index]), int(model.zone_frames[beat, index])
        for frame in range(max(entry, 0), min(entry + interval, frames)):
            score += densities[(1 if beat else 2) if frame < entry + zone else 0, frame]
            score += gains[index]
        if entry + interval >= frames:
            yield score, lanes
            return
        for other in range(len(model.intervals)):
            step = chance[index, other]
            yield from walk([*lanes, (entry + interval, (beat + 1) % beats, other)], score + step)

    for beat, (index, interval) in itertools.product(range(beats), enumerate(model.intervals)):
        for entry in range(1 - int(interval), 1):
            # Frame 0 is reached by a transition from before the song, too.
            before = 0.0 if entry < 0 else max(chance[:, index])
            yield from walk([(entry, beat, index)], start + before)


@pytest.mark.parametrize("prior", [None, TempoPrior(70, 0.3, 0.5)])
@pytest.mark.parametrize("seed", range(6))
def test_confidences_are_those_of_all_paths_compared(seed, prior):
    parameters = MetreParameters((2, 3), 60, 100, None, 5.0, 3, 0.0, seed % 2 == 0, prior)
    values = np.random.default_rng(seed).uniform(0.01, 0.45, (17, 2))
    found = decode(values, parameters, 5.0)
    model = bar_pointer_model(parameters, 5.0)
    assert model.intervals.tolist() == [3, 4, 5]
    densities = log_densities(values, 3)
    heights = beat_heights(values, parameters.correct)
    paths = {beats: list(every_path(model, densities, beats, 5.0, prior, 5.0)) for beats in (2, 3)}
    scores = {beats: max(score for score, _ in paths[beats]) for beats in paths}
    assert dict(found.metre_log_probabilities) == pytest.approx(scores)
    assert found.metre_confidence == pytest.approx(1 - np.exp(-abs(scores[2] - scores[3])))

    beats = max(scores, key=scores.get)
    score, lanes = max(paths[beats])

    def zone(lane):
        entry, beat, index = lane
        return range(max(entry, 0), min(entry + int(model.zone_frames[beat, index]), len(values)))

    expected = []
    for n, lane in enumerate(lanes):
        seen = zone(lane)
        if not len(seen) or (not parameters.correct and lane[0] < 1):
            continue
        frame = max(seen, key=lambda t: heights[t])
        after = lanes[n + 1 :]
        rivals = [
            other_score
            for other_score, other in paths[beats]
            if len(other) > len(after)
            and other[len(other) - len(after) :] == after
            and (
                frame not in zone(other[-1 - len(after)]) or (not after and other[-1][1] != lane[1])
            )
        ]
        expected.append(1 - np.exp(max(rivals) - score))
    assert len(expected) >= 3
    np.testing.assert_allclose(found.beat_confidences, expected, rtol=0, atol=1e-9)


# --- behaviour -----------------------------------------------------------------------------------------------


def test_a_metronome_is_found():
    values = np.full((1200, 2), 1e-6, np.float32)
    values[25::50] = [0.9, 1e-6]
    values[25::150] = [1e-6, 0.9]
    found = decode(values, MetreParameters(threshold=0.24), 100)
    assert found.warnings == ()
    np.testing.assert_allclose(found.beat_times_s, np.arange(0.25, 12, 0.5))
    assert found.beat_positions.tolist() == [1, 2, 3] * 8
    assert found.beat_times_s.dtype == np.float64
    assert found.beat_positions.dtype == np.int64


@pytest.mark.parametrize("values", [np.zeros((500, 2), np.float32), np.zeros((0, 2), np.float32)])
def test_silence_has_no_beats_and_no_warning(values):
    found = decode(values)
    assert pairs(found) == []
    assert found.warnings == ()


def test_activations_below_the_threshold_have_no_beats_and_no_warning():
    values = np.full((500, 2), 0.1, np.float32)
    found = decode(values, MetreParameters(threshold=0.24), 100)
    assert (pairs(found), found.warnings) == ([], ())


def test_frame_zero_alone_above_the_threshold_is_ignored_as_in_the_original():
    values = np.full((500, 2), 1e-4, np.float32)
    values[0] = 0.4
    found = decode(values, MetreParameters(threshold=0.24), 100)
    assert (pairs(found), found.warnings) == ([], ())


@pytest.mark.parametrize(
    "name", ["NaN", "rows of sum above 1", "impulses on exact zeros", "infinite", "negative"]
)
def test_an_impossible_song_has_no_beats_and_says_so(name):
    found = decode(odd_activations()[name], MetreParameters(), 100)
    assert pairs(found) == []
    assert found.warnings == (NO_PATH,)


def test_without_correction_beats_are_where_their_number_changes():
    values = song(5, 1000, bpm=120, beats_per_bar=4)
    corrected = decode(values, MetreParameters(), 100)
    raw = decode(values, MetreParameters(correct=False), 100)
    assert abs(len(raw.beat_times_s) - len(corrected.beat_times_s)) <= 2
    distances = np.abs(raw.beat_times_s[:, np.newaxis] - corrected.beat_times_s).min(axis=1)
    assert (distances < 0.07).all()
    assert raw.beat_times_s.tolist() != corrected.beat_times_s.tolist()


def test_one_beat_a_bar_without_correction_gives_nothing_as_in_the_original():
    values = song(5, 1000, bpm=120, beats_per_bar=4)
    parameters = MetreParameters(beats_per_bar=(1,), correct=False)
    assert pairs(decode(values, parameters, 100)) == []


def test_stretches_that_are_computed_again_change_nothing(monkeypatch):
    values = song(3, 3000, 20.0)
    parameters = MetreParameters(num_tempi=None)
    whole = decode(values, parameters, 20.0)
    assert len(whole.beat_times_s) > 100
    monkeypatch.setattr(bar_pointer_viterbi, "EXITS_BYTES", 1)
    seen = []
    assert pairs(decode(values, parameters, 20.0, Task(progress=seen.append))) == pairs(whole)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)


def test_memory_hardly_grows_with_the_song(monkeypatch):
    monkeypatch.setattr(bar_pointer_viterbi, "EXITS_BYTES", 2**15)

    parameters = MetreParameters(num_tempi=None)

    def peak(frames):
        values = song(1, frames, 20.0, bpm=100, beats_per_bar=3)
        tracemalloc.start()
        decode(values, parameters, 20.0)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)
    # All exits would be 952 bytes a frame; densities, path and entries kept for each stretch are about 150.
    assert (peak(4500) - peak(1500)) / 3000 < 400


def test_progress_may_cancel():
    def cancel(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(song(1, 200), task=Task(progress=cancel))


def test_strided_and_read_only_activations_are_taken_and_not_modified():
    values = song(2, 800)
    stored = np.zeros((3, 1600), np.float32)
    view = stored[::2, ::2].T
    view[:] = values
    stored.flags.writeable = False
    view = stored[::2, ::2].T
    kept = stored.copy()
    found = decode(view, MetreParameters(threshold=0.24), 100)
    assert pairs(found) == pairs(decode(values, MetreParameters(threshold=0.24), 100))
    np.testing.assert_array_equal(stored, kept)


def test_one_callable_takes_several_frame_rates():
    stage = create(Setup(metre=MetreParameters(threshold=0.24)))
    for rate in (100.0, 50.0, 100.0):
        values = song(1, int(20 * rate), rate, bpm=100, beats_per_bar=3)
        found = stage(Activations(values, rate), Task())
        assert np.median(np.diff(found.beat_times_s)) == pytest.approx(0.6, abs=0.021)


def test_parameters_out_of_range_are_refused_at_once():
    with pytest.raises(ContractError, match="beats_per_bar"):
        create(Setup(metre=MetreParameters(beats_per_bar=())))


def test_a_frame_rate_too_low_for_the_fastest_beat_is_an_error_that_says_so():
    with pytest.raises(ContractError, match=r"At 1 frames per second .* 215 bpm"):
        decode(np.full((50, 2), 0.3, np.float32), MetreParameters(), 1.0)


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 120),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    special=st.lists(
        st.sampled_from([0.0, 1.0, 0.5, np.nan, np.inf, -np.inf, -1.0, 1e-40]), max_size=4
    ),
    threshold=st.sampled_from([None, 0.2]),
    correct=st.booleans(),
    metres=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
)
def test_whatever_comes_in_beats_rise_and_positions_cycle(
    frames, seed, dtype, special, threshold, correct, metres
):
    rng = np.random.default_rng(seed)
    values = rng.dirichlet([0.5, 0.3, 2], frames)[:, :2].astype(dtype)
    for value in special:
        values[rng.integers(frames), rng.integers(2)] = value
    kept = values.copy()
    values.flags.writeable = False
    parameters = MetreParameters(
        beats_per_bar=metres,
        min_bpm=60,
        max_bpm=150,
        num_tempi=4,
        threshold=threshold,
        correct=correct,
    )
    found = decode(values, parameters)
    np.testing.assert_array_equal(values, kept)
    times, positions = found.beat_times_s, found.beat_positions
    assert (times >= 0).all()
    assert (times < frames / SMALL_RATE).all()
    # validate() has seen that times rise. Between two beats found, none of the path's is left out.
    follows = {(a, b) for a, b in itertools.pairwise(positions.tolist())}
    assert any(
        all(b == a % n + 1 for a, b in follows) and max(positions, default=0) <= n for n in metres
    )
